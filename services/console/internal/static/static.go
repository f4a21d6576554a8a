// Package static has the console's style sheet, scripts and icon. Files are served under a path that changes with
// their content, so that browsers may keep them for ever.
package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed css/*.css console.js icon.svg vendor/*.js
var files embed.FS

// version returns the hash of all files.
var version = sync.OnceValue(func() string {
	hash := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		fmt.Fprintf(hash, "%s %d\n", name, len(content))
		hash.Write(content)
		return err
	})
	if err != nil {
		panic("the embedded files cannot be read: " + err.Error()) //nolint:forbidigo // they are in the program
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
})

// Styles are the names of the style sheets, base first. Each page may have one of its own.
var Styles = sync.OnceValue(func() []string {
	names, err := fs.Glob(files, "css/*.css")
	if err != nil {
		panic("the pattern of style sheets is wrong: " + err.Error()) //nolint:forbidigo // it is a constant
	}
	return names
})

// Prefix is the path below which Handler serves, without that of the console.
const Prefix = "/static/"

// Path returns the path of a file, without the prefix of the console's own path.
func Path(name string) string { return path.Join(Prefix, version(), name) }

// Handler serves the files under their paths.
func Handler() http.Handler {
	server := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, Prefix+version()+"/")
		if !ok || name == "" || strings.HasSuffix(name, "/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.StripPrefix(Prefix+version(), server).ServeHTTP(w, r)
	})
}
