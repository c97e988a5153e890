package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// image is as much of an ISO image as it takes to be known for one.
func image() []byte {
	data := make([]byte, 0x9000)
	copy(data[isoMagicAt:], isoMagic)
	return data
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// written puts files into a new directory.
func written(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConfigDriveImages(t *testing.T) {
	iso := image()
	dir := written(t, map[string][]byte{
		"iso": iso, "gz": zipped(t, iso), "b64": []byte(base64.StdEncoding.EncodeToString(zipped(t, iso)) + "\n"),
	})
	for _, name := range []string{"iso", "gz", "b64"} {
		drive, err := readConfigDrive(filepath.Join(dir, name))
		text, ok := drive.(string)
		if err != nil || !ok {
			t.Errorf("%s: got %T, %v", name, drive, err)
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, iso) {
			t.Errorf("%s: got %d bytes, %v, want the image", name, len(got), err)
		}
	}
}

func TestConfigDriveObjects(t *testing.T) {
	meta, network := []byte(`{"uuid": "x"}`), []byte(`{"links": []}`)
	vendor := []byte(`{"v": 1}`)
	flat := written(t, map[string][]byte{"meta_data.json": meta, "network_data.json": network, "user_data": []byte("#!/bin/sh\n"), "vendor_data.json": vendor})
	deep := written(t, map[string][]byte{"openstack/latest/meta_data.json": meta, "openstack/latest/network_data.json": network, "openstack/latest/user_data": []byte("#!/bin/sh\n"), "openstack/latest/vendor_data.json": vendor})
	file := filepath.Join(written(t, map[string][]byte{"drive.json": []byte(`{"meta_data": {"uuid": "x"}, "network_data": {"links": []}, "user_data": "#!/bin/sh\n", "vendor_data": {"v": 1}}`)}), "drive.json")
	for _, from := range []string{flat, deep, file} {
		drive, err := readConfigDrive(from)
		got, jsonErr := json.Marshal(drive)
		want := `{"meta_data":{"uuid":"x"},"network_data":{"links":[]},"user_data":"#!/bin/sh\n","vendor_data":{"v":1}}`
		if err != nil || jsonErr != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", from, got, err, want)
		}
	}
}

func TestConfigDriveRefused(t *testing.T) {
	dir := written(t, map[string][]byte{
		"text": []byte("hello"), "empty": nil, "b64": []byte(base64.StdEncoding.EncodeToString([]byte("hello"))),
		"bad/meta_data.json": []byte("{"), "none/other": nil, "odd.json": []byte(`{"metadata": {}}`),
	})
	for name, want := range map[string]string{
		"text": "is neither an ISO image", "empty": "is neither", "b64": "is neither", "bad": "meta_data.json", "none": "has none of", "odd.json": "unknown field",
	} {
		if drive, err := readConfigDrive(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %q", name, drive, err, want)
		}
	}
	big := append([]byte{}, gzipMagic...)
	if _, err := driveOfFile("big", append(big, make([]byte, maxInput)...)); err == nil || !strings.Contains(err.Error(), "give its URL") {
		t.Errorf("a big one: got %v", err)
	}
}
