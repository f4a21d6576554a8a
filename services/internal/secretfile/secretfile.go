// Package secretfile reads files that contain only a secret.
package secretfile

import (
	"fmt"
	"os"
	"strings"
)

// Read returns the secret in a file, without the line end. setting names the setting in errors. An empty file is an
// error.
func Read(setting, path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" {
		return "", fmt.Errorf("%s: %s is empty", setting, path)
	}
	return text, nil
}
