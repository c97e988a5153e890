package node

import (
	"encoding/json"
	"unicode/utf8"
)

// scanObject reads a JSON object; false for everything else, such as what is no
// JSON, of which encoding/json then says what is wrong with it.
func scanObject(data []byte) (map[string]any, bool) {
	i := skip(data, 0)
	if i == len(data) || data[i] != '{' {
		return nil, false
	}
	v, i := scanValue(data, i, 0)
	if i < 0 || skip(data, i) != len(data) {
		return nil, false
	}
	return v.(map[string]any), true
}

// maxScan is how deep values may be nested here; encoding/json goes further.
const maxScan = 1000

// scanValue reads the value at i and answers where it ends, -1 if it cannot.
func scanValue(data []byte, i, depth int) (any, int) {
	if i >= len(data) || depth > maxScan {
		return nil, -1
	}
	switch c := data[i]; {
	case c == '{':
		return scanMap(data, i, depth)
	case c == '[':
		return scanList(data, i, depth)
	case c == '"':
		return scanString(data, i)
	case c == '-' || '0' <= c && c <= '9':
		if n := number(data, i); n > 0 {
			return json.Number(data[i : i+n]), i + n
		}
		return nil, -1
	}
	for _, w := range literals {
		if end := i + len(w.text); end <= len(data) && string(data[i:end]) == w.text {
			return w.value, end
		}
	}
	return nil, -1
}

var literals = []struct {
	text  string
	value any
}{{"true", true}, {"false", false}, {"null", nil}}

func scanMap(data []byte, i, depth int) (any, int) {
	m := map[string]any{}
	end := scanEach(data, i, func(key string, at int) (end int) {
		m[key], end = scanValue(data, at, depth+1)
		return end
	})
	return m, end
}

// scanEach calls value for each name of the object at i with where its value
// begins, and gets where that ends.
func scanEach(data []byte, i int, value func(key string, at int) int) int {
	if i = skip(data, i+1); i < len(data) && data[i] == '}' {
		return i + 1
	}
	for i < len(data) && data[i] == '"' {
		key, at := scanString(data, i)
		if at < 0 {
			return -1
		}
		if at = skip(data, at); at == len(data) || data[at] != ':' {
			return -1
		}
		if i = value(key.(string), skip(data, at+1)); i < 0 {
			return -1
		}
		if i = skip(data, i); i == len(data) {
			return -1
		}
		if data[i] == '}' {
			return i + 1
		}
		if data[i] != ',' {
			return -1
		}
		i = skip(data, i+1)
	}
	return -1
}

func scanList(data []byte, i, depth int) (any, int) {
	list := []any{}
	if i = skip(data, i+1); i < len(data) && data[i] == ']' {
		return list, i + 1
	}
	for {
		var v any
		if v, i = scanValue(data, i, depth+1); i < 0 {
			return nil, -1
		}
		list = append(list, v)
		if i = skip(data, i); i == len(data) {
			return nil, -1
		}
		if data[i] == ']' {
			return list, i + 1
		}
		if data[i] != ',' {
			return nil, -1
		}
		i = skip(data, i+1)
	}
}

// scanString reads a text; one with escapes, encoding/json reads.
func scanString(data []byte, i int) (any, int) {
	plain := true
	for j := i + 1; j < len(data); j++ {
		switch c := data[j]; {
		case c == '\\':
			plain = false
			j++
		case c < ' ':
			return nil, -1
		case c == '"':
			if inner := data[i+1 : j]; plain && utf8.Valid(inner) {
				return string(inner), j + 1
			}
			var text string
			if json.Unmarshal(data[i:j+1], &text) != nil {
				return nil, -1
			}
			return text, j + 1
		}
	}
	return nil, -1
}

// skip answers where the white space at i ends.
func skip(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// number answers how long the number at i is, 0 if there is none. RFC 8259, 6.
func number(data []byte, i int) int {
	start := i
	digits := func() bool {
		from := i
		for i < len(data) && '0' <= data[i] && data[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(data) && data[i] == '-' {
		i++
	}
	if i < len(data) && data[i] == '0' {
		i++
	} else if !digits() {
		return 0
	}
	if i < len(data) && data[i] == '.' {
		if i++; !digits() {
			return 0
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		if !digits() {
			return 0
		}
	}
	return i - start
}
