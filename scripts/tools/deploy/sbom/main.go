// Command sbom writes the bill of materials of an archive (tar.gz): the modules of all programs in it.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/driftless-sync/driftless/scripts/tools/deploy/bom"
)

func main() {
	version := flag.String("version", "", "version of the release")
	out := flag.String("out", "", "file to write")
	flag.Parse()
	if flag.NArg() != 1 || *version == "" || *out == "" {
		fmt.Fprintln(os.Stderr, "sbom: usage: sbom --version VERSION --out FILE ARCHIVE.tar.gz")
		os.Exit(1) //nolint:forbidigo // this is main
	}
	if err := run(flag.Arg(0), *version, *out); err != nil {
		fmt.Fprintf(os.Stderr, "sbom: %s: %v\n", flag.Arg(0), err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(archive, version, out string) error {
	programs, err := programsOf(archive)
	if err != nil {
		return err
	}
	data, err := bom.List(bom.Subject{Name: filepath.Base(archive), Version: version}, programs...)
	if err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644) //nolint:gosec // a list that is published
}

// programsOf returns the programs of Go in an archive.
func programsOf(archive string) (programs []bom.Program, err error) {
	file, err := os.Open(archive)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	for entries := tar.NewReader(unzipped); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return programs, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		if header.Typeflag != tar.TypeReg || header.Mode&0o111 == 0 {
			continue
		}
		data, err := io.ReadAll(entries)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", header.Name, err)
		}
		info, err := buildinfo.Read(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("read the modules of %s: %w", header.Name, err)
		}
		programs = append(programs, bom.Program{Name: path.Base(header.Name), Info: info})
	}
}
