package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// judge stands in front of the handler in all tests and compares each request
// and each answer with the document of the interface. What the handler does and
// the document does not say fails the test, whatever the test is about.
type judge struct {
	t    testing.TB
	next http.Handler
	mux  *http.ServeMux // finds the operation of a request
}

// described is one operation of the document.
type described struct {
	*openapi3.Operation
	path string
	item *openapi3.PathItem
}

// closed is the document with all objects closed: for the clients they are open,
// so that a later version can add to them; here nothing may be in an answer that
// the document does not name.
var closed = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openapi().yaml)
	if err != nil {
		return nil, err
	}
	return doc, doc.WalkSchemas(func(_ string, s *openapi3.SchemaRef) error {
		if v := s.Value; len(v.Properties) > 0 && v.AdditionalProperties.Has == nil && v.AdditionalProperties.Schema == nil {
			v.AdditionalProperties.Has = new(bool)
		}
		return nil
	})
})

// operations are those of the document by the pattern of their route.
func operations(doc *openapi3.T) map[string]described {
	all := map[string]described{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			pattern := method + " " + path
			if path == "/" {
				pattern += "{$}"
			}
			all[pattern] = described{op, path, item}
		}
	}
	return all
}

type foundKey struct{}

func newJudge(t testing.TB, a *api) *judge {
	t.Helper()
	doc, err := closed()
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{t: t, next: a.door(), mux: http.NewServeMux()}
	ops := operations(doc)
	for pattern := range a.since {
		op, ok := ops[pattern]
		j.mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) {
			if !ok {
				t.Errorf("%s is not in the document", pattern)
				return
			}
			j.judge(r.Context().Value(foundKey{}).(*exchange), doc, op, r)
		})
	}
	return j
}

// judged is New with a judge in front.
func judged(t testing.TB, c Config) (http.Handler, error) {
	a, err := build(c)
	if err != nil {
		return nil, err
	}
	return newJudge(t, a), nil
}

// exchange is a request and its answer.
type exchange struct {
	http.ResponseWriter
	sent   bytes.Buffer // as far as the handler read it
	status int
	body   bytes.Buffer
}

func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	x.body.Write(p)
	return x.ResponseWriter.Write(p)
}

func (j *judge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w}
	seen := r.Clone(context.WithValue(r.Context(), foundKey{}, x))
	seen.URL, seen.Body = plainURL(r), http.NoBody
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &x.sent), r.Body}
	}
	j.next.ServeHTTP(x, r)
	if x.status == 0 {
		x.status = http.StatusOK
	}
	j.mux.ServeHTTP(httptest.NewRecorder(), seen) // what no route takes is nothing to judge
}

func (j *judge) judge(x *exchange, doc *openapi3.T, op described, r *http.Request) {
	j.t.Helper()
	if x.status == statusClientGone {
		return
	}
	if x.status < 400 {
		if err := op.request(x, doc, r); err != nil {
			j.t.Errorf("%s %s was accepted and is not as the document has it: %v\n%s", r.Method, r.URL, err, cut(x.sent.String(), 2000))
		}
	}
	if err := op.answer(x, r); err != nil {
		j.t.Errorf("%s %s: the answer is not as the document has it: %v\n%d %s", r.Method, r.URL, err, x.status, cut(x.body.String(), 2000))
	}
}

// request compares a request with what the document allows.
func (op described) request(x *exchange, doc *openapi3.T, r *http.Request) error {
	in := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: map[string]string{}, QueryParams: r.URL.Query(),
		Route: &routers.Route{Spec: doc, Path: op.path, PathItem: op.item, Method: r.Method, Operation: op.Operation},
		Options: &openapi3filter.Options{
			ExcludeRequestBody: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		},
	}
	params := slices.Concat(op.item.Parameters, op.Parameters)
	for _, p := range params {
		if p.Value.In == openapi3.ParameterInPath {
			in.PathParams[p.Value.Name] = r.PathValue(p.Value.Name)
		}
	}
	for name, values := range in.QueryParams {
		if strings.Join(values, "") == "" {
			delete(in.QueryParams, name) // as if it were not there
		}
		if !slices.ContainsFunc(params, func(p *openapi3.ParameterRef) bool {
			return p.Value.In == openapi3.ParameterInQuery && p.Value.Name == name
		}) {
			return fmt.Errorf("the parameter %s is not in the document", name)
		}
	}
	if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
		return err
	}
	body := bytes.TrimSpace(x.sent.Bytes())
	switch {
	case op.RequestBody == nil && len(body) > 0:
		return fmt.Errorf("the document has no body")
	case op.RequestBody == nil || len(body) == 0 && !op.RequestBody.Value.Required:
		return nil
	case len(body) == 0:
		return fmt.Errorf("the document wants a body")
	}
	media := op.RequestBody.Value.Content.Get("application/json")
	if media == nil {
		return fmt.Errorf("the document has no JSON here")
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	strict(media.Schema.Value, value, r.Method == http.MethodPost)
	return media.Schema.Value.VisitJSON(value, openapi3.VisitAsRequest(), openapi3.MultiErrors(), openapi3.DisableSchemaErrorDetails())
}

// strict takes from a request what the document allows to old clients in general:
// true and false as text and, where something is made, null for what is not given.
func strict(s *openapi3.Schema, value any, made bool) {
	fields, ok := value.(map[string]any)
	if !ok {
		return
	}
	for _, part := range s.AllOf {
		strict(part.Value, value, made)
	}
	for name, p := range s.Properties {
		if v, ok := fields[name]; ok && v == nil && made {
			delete(fields, name)
		}
		if text, ok := fields[name].(string); ok && p.Value.Type.Is(openapi3.TypeBoolean) {
			if b, err := parseBool(name, strings.TrimSpace(text)); err == nil {
				fields[name] = b
			}
		}
	}
}

// answer compares an answer with what the document promises.
func (op described) answer(x *exchange, r *http.Request) error {
	promised := op.Responses.Status(x.status)
	if promised == nil {
		return fmt.Errorf("the status %d is not in the document", x.status)
	}
	kind := x.Header().Get("Content-Type")
	if len(promised.Value.Content) == 0 {
		if kind != "" || x.body.Len() > 0 {
			return fmt.Errorf("the document has no body, and no type such as %q", kind)
		}
		return nil
	}
	media := promised.Value.Content.Get(kind)
	if media == nil {
		return fmt.Errorf("the type %q is not in the document", kind)
	}
	if r.Method == http.MethodHead {
		return nil
	}
	kind, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return err
	}
	switch kind {
	case "application/json":
		return visit(media, x.body.Bytes(), openapi3.VisitAsResponse())
	case "application/x-ndjson", "text/event-stream":
		for line := range strings.Lines(x.body.String()) {
			data, ok := strings.CutPrefix(line, "data: ")
			if kind == "application/x-ndjson" {
				data, ok = line, strings.HasPrefix(line, "{")
			}
			if !ok || !strings.HasSuffix(data, "\n") { // a sign of life, or cut off
				continue
			}
			if err := visit(media, []byte(data), openapi3.VisitAsResponse()); err != nil {
				return err
			}
		}
	}
	return nil
}

func visit(media *openapi3.MediaType, data []byte, as openapi3.SchemaValidationOption) error {
	if media == nil {
		return fmt.Errorf("the document has no JSON here")
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	return media.Schema.Value.VisitJSON(value, as, openapi3.MultiErrors(), openapi3.DisableSchemaErrorDetails())
}
