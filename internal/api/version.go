package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// minor is an API version: 78 stands for 1.78.
type minor int

const (
	always minor = 0 // routes that are not part of Ironic's interface, in all versions
	oldest minor = 1
	newest minor = 98
)

func (v minor) String() string { return fmt.Sprintf("1.%d", int(v)) }

// The headers that choose and announce a version.
const (
	headerVersion = "X-OpenStack-Ironic-API-Version"
	headerMin     = "X-OpenStack-Ironic-API-Minimum-Version"
	headerMax     = "X-OpenStack-Ironic-API-Maximum-Version"
	headerCommon  = "OpenStack-API-Version" // "baremetal 1.N"
)

// errNotAcceptable is Ironic's NotAcceptable, 406: the version asked for is not
// served, or does not know what is asked of it.
var errNotAcceptable = errors.New("not acceptable")

// askedVersion reads the API version of a request; without one it is the oldest.
func askedVersion(h http.Header) (minor, error) {
	text := h.Get(headerVersion)
	if service, version, ok := strings.Cut(h.Get(headerCommon), " "); ok && text == "" && service == "baremetal" {
		text = version
	}
	text = strings.TrimSpace(text)
	switch text {
	case "":
		return oldest, nil
	case "latest":
		return newest, nil
	}
	major, rest, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(rest)
	if err != nil || major != "1" || n < int(oldest) || n > int(newest) {
		return oldest, refuse(errNotAcceptable, "Version %q was requested but the requested API version is not supported by this service. "+
			"The supported version range is: [%s, %s].", cut(text, 32), oldest, newest)
	}
	return minor(n), nil
}

// tooNew refuses a part of a request that the version does not know.
func tooNew(what string, since, have minor) error {
	return refuse(errNotAcceptable, "%s needs API version %s or newer; the request is for %s.", what, since, have)
}

// cut shortens what a client sent, for use in an answer.
func cut(text string, limit int) string {
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
