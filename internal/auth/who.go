package auth

import "net/http"

// Caller says who a request is from: the name in a client certificate that the
// listener has verified, else the user whose password is right. known is false
// if neither is there and users ask for one; without users everybody is known,
// as nobody in particular.
func Caller(r *http.Request, users *Users) (name string, known bool) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return r.TLS.VerifiedChains[0][0].Subject.CommonName, true
	}
	if users == nil {
		return "", true
	}
	name, password, ok := r.BasicAuth()
	if ok && users.Check(name, password) {
		return name, true
	}
	return "", false
}
