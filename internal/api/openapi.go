package api

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"sync"

	"go.yaml.in/yaml/v3"
)

// openapiParts are the document of this interface, which is all of them end to
// end in the order of their names.
//
//go:embed openapi/*.yaml
var openapiParts embed.FS

// openapi is the document as YAML and as JSON. It is made when it is first asked for.
var openapi = sync.OnceValue(func() (doc struct{ yaml, json []byte }) {
	parts, err := openapiParts.ReadDir("openapi")
	if err != nil { // what is embedded can be read
		panic(err)
	}
	var text bytes.Buffer
	for _, p := range parts {
		part, err := openapiParts.ReadFile("openapi/" + p.Name())
		if err != nil {
			panic(err)
		}
		text.Write(part)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text.Bytes(), &tree); err != nil { // a test reads it
		panic(fmt.Sprintf("openapi: %v", err))
	}
	doc.yaml = text.Bytes()
	if doc.json, err = json.Marshal(tree); err != nil {
		panic(fmt.Sprintf("openapi: %v", err))
	}
	return doc
})

// openapiYAML is GET /openapi.yaml.
func openapiYAML(_ context.Context, c *call) error {
	c.w.Header().Set("Content-Type", "application/yaml")
	_, _ = c.w.Write(openapi().yaml)
	return nil
}

// openapiJSON is GET /openapi.json.
func openapiJSON(_ context.Context, c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(openapi().json)
	return nil
}
