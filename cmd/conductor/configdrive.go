package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
)

// What the kinds of file are known by.
var (
	gzipMagic = []byte{0x1f, 0x8b}
	isoMagic  = []byte("CD001")
)

const isoMagicAt = 0x8001

// maxDrive is the largest image that is read; zipped, it must still fit a request.
const maxDrive = 64 << 20

// driveParts are what a conductor makes an image of.
type driveParts struct {
	nodes.ConfigDrive
	VendorData map[string]any `json:"vendor_data,omitempty"` // which gophercloud does not know
}

// readConfigDrive makes a config drive as the API takes it of what the user has:
// a URL stays one; an image is zipped and encoded, as far as it is not; a
// directory and a JSON object become an object, of which the conductor makes an
// image.
func readConfigDrive(text string) (any, error) {
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		return text, nil
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return driveObject([]byte(text))
	}
	info, err := os.Stat(text)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return driveOfDir(text)
	}
	if info.Size() > maxDrive {
		return nil, fmt.Errorf("%s has %d bytes: want at most %d", text, info.Size(), maxDrive)
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return nil, err
	}
	return driveOfFile(text, data)
}

func driveOfFile(name string, data []byte) (any, error) {
	trimmed := bytes.TrimSpace(data)
	switch {
	case bytes.HasPrefix(data, gzipMagic):
		return encodedDrive(data)
	case len(data) > isoMagicAt && bytes.HasPrefix(data[isoMagicAt:], isoMagic):
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write(data)
		if err = errors.Join(err, z.Close()); err != nil {
			return nil, err
		}
		return encodedDrive(b.Bytes())
	case bytes.HasPrefix(trimmed, []byte("{")):
		return driveObject(trimmed)
	}
	if raw, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(trimmed))); err == nil && bytes.HasPrefix(raw, gzipMagic) {
		return encodedDrive(raw)
	}
	return nil, fmt.Errorf("%s is neither an ISO image, zipped or not, nor a JSON object", name)
}

func encodedDrive(zipped []byte) (string, error) {
	text := base64.StdEncoding.EncodeToString(zipped)
	if len(text) > maxInput {
		return "", fmt.Errorf("zipped and encoded it has %d bytes, and a conductor takes %d: serve it over HTTP and give its URL", len(text), maxInput)
	}
	return text, nil
}

// driveObject reads the object of which a conductor makes an image.
func driveObject(data []byte) (any, error) {
	var drive driveParts
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&drive); err != nil {
		return nil, fmt.Errorf("want an object with meta_data, network_data, user_data and vendor_data: %w", err)
	}
	return drive, nil
}

// driveOfDir reads the files of a config drive, which lie in the directory or
// where they lie on the drive.
func driveOfDir(dir string) (any, error) {
	if inner := filepath.Join(dir, "openstack", "latest"); isDir(inner) {
		dir = inner
	}
	var drive driveParts
	found := false
	for name, into := range map[string]*map[string]any{
		"meta_data.json": &drive.MetaData, "network_data.json": &drive.NetworkData, "vendor_data.json": &drive.VendorData,
	} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
		found = true
	}
	data, err := os.ReadFile(filepath.Join(dir, "user_data"))
	if err == nil {
		drive.UserData, found = string(data), true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%s has none of meta_data.json, network_data.json, user_data and vendor_data.json", dir)
	}
	return drive, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
