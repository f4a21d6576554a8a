package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	v1tar "github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/driftless-sync/driftless/scripts/tools/deploy/bom"
)

// program is a program with its own image.
type program struct {
	image, title string
	// module is the directory of the repository where it is built, and pkg its package.
	module, pkg string
	// file is its name in the image.
	file string
}

// programs are the programs of all images. The last, a NATS server for tests without a registry, is only built if it is
// named.
var programs = []program{
	{
		"driftless-ingestion", "Driftless ingestion: captures changes of the catalog from Postgres", "services",
		"./cmd/ingestion", "ingestion",
	},
	{"driftless-push", "Driftless push: writes products and prices to Stripe", "services", "./cmd/push", "push"},
	{
		"driftless-pull", "Driftless pull: receives Stripe's webhooks and polls its events", "services", "./cmd/pull",
		"pull",
	},
	{
		"driftless-reconciliation", "Driftless reconciliation: finds and repairs drift", "services",
		"./cmd/reconciliation", "reconciliation",
	},
	{
		"driftless-console", "Driftless console: serves the pages for people", "services", "./cmd/console",
		"console",
	},
	{
		"driftless", "Driftless: the command line, with migrations and the Stripe simulator", "services",
		"./cmd/driftless", "driftless",
	},
	{"nats", "NATS server, for tests", "scripts/tools/deploy", "github.com/nats-io/nats-server/v2", "nats-server"},
}

type options struct {
	root, out, version, revision, date, repository string
	platforms                                      []v1.Platform
	push, insecure                                 bool
}

// user is the user that the programs run as. It is numeric because Kubernetes can only check that a number is not root.
const user = "65532:65532"

type built struct {
	platform v1.Platform
	image    v1.Image
	sbom     []byte
	// program is the size of the program in bytes.
	program int64
}

// build builds a program's image for every platform.
func (o options) build(ctx context.Context, p program) (v1.ImageIndex, []built, error) {
	var images []built
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range o.platforms {
		b, err := o.buildFor(ctx, p, platform)
		if err != nil {
			return nil, nil, fmt.Errorf("for %s: %w", platform, err)
		}
		images = append(images, b)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        b.image,
			Descriptor: v1.Descriptor{Platform: &platform},
		})
	}
	return index, images, nil
}

func (o options) buildFor(ctx context.Context, p program, platform v1.Platform) (built, error) {
	dir, err := os.MkdirTemp("", "images")
	if err != nil {
		return built{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, p.file)
	const stamp = " -X github.com/driftless-sync/driftless/services/internal/service."
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags=-s -w -buildid="+stamp+"version="+o.version+stamp+"commit="+o.revision+stamp+"date="+o.date, "-o",
		file, p.pkg)
	cmd.Dir = filepath.Join(o.root, p.module)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+platform.OS,
		"GOARCH="+platform.Architecture, "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return built{}, fmt.Errorf("go build %s: %w", p.pkg, err)
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return built{}, err
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return built{}, fmt.Errorf("read the modules of %s: %w", p.file, err)
	}
	sbom, err := bom.List(bom.Subject{Name: p.image, Version: o.version, Description: p.title},
		bom.Program{Name: p.file, Info: info})
	if err != nil {
		return built{}, err
	}
	content, err := layer(p, program, sbom)
	if err != nil {
		return built{}, err
	}
	image, err := o.assemble(p, platform, content)
	return built{platform, image, sbom, int64(len(program))}, err
}

// epoch is the time of all files in an image, so that equal images have equal digests.
var epoch = time.Unix(0, 0).UTC()

func (o options) assemble(p program, platform v1.Platform, content []byte) (v1.Image, error) {
	layer, err := v1tar.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	},
		v1tar.WithMediaType(types.OCILayer), v1tar.WithCompressionLevel(9))
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "scripts/images"},
	})
	if err != nil {
		return nil, fmt.Errorf("add the layer: %w", err)
	}
	labels := map[string]string{
		"org.opencontainers.image.title":    p.image,
		"org.opencontainers.image.version":  o.version,
		"org.opencontainers.image.source":   "https://github.com/driftless-sync/driftless",
		"org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.description": p.title,
	}
	if o.revision != "" {
		labels["org.opencontainers.image.revision"] = o.revision
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.Created, file.OS, file.Architecture, file.Variant = v1.Time{Time: epoch}, platform.OS, platform.Architecture,
		platform.Variant
	file.Config = v1.Config{
		User: user, Entrypoint: []string{"/" + p.file}, WorkingDir: "/", Labels: labels,
		Env: []string{"PATH=/", "SSL_CERT_FILE=" + certificates},
	}
	image, err = mutate.ConfigFile(image, file)
	if err != nil {
		return nil, fmt.Errorf("set the configuration: %w", err)
	}
	annotated, ok := mutate.Annotations(image, labels).(v1.Image)
	if !ok {
		return nil, errors.New("set the annotations: the result is not an image")
	}
	return annotated, nil
}

const (
	certificates = "/etc/ssl/certs/ca-certificates.crt"
	// materials is the path of the bill of materials in the image.
	materials = "/usr/share/sbom/driftless.cdx.json"
)

// layer returns the image's only layer: the program, the root certificates, the names of the users, the bill of
// materials, and a directory for temporary files.
func layer(p program, program, sbom []byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	made := map[string]bool{}
	var add func(name string, mode int64, data []byte) error
	directory := func(name string, mode int64) error {
		if made[name] {
			return nil
		}
		made[name] = true
		return w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeDir,
			Name:     name + "/",
			Mode:     mode,
			ModTime:  epoch,
			Format:   tar.FormatUSTAR,
		})
	}
	add = func(name string, mode int64, data []byte) error {
		var parents []string
		for dir := path.Dir(name); dir != "/"; dir = path.Dir(dir) {
			parents = append(parents, dir)
		}
		for _, parent := range slices.Backward(parents) {
			if err := directory(parent[1:], 0o755); err != nil {
				return err
			}
		}
		if err := w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg,
			Name:     name[1:],
			Mode:     mode,
			Size:     int64(len(data)),
			ModTime:  epoch,
			Format:   tar.FormatUSTAR,
		}); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	for _, f := range []struct {
		name string
		mode int64
		data []byte
	}{
		{
			"/etc/passwd", 0o644,
			[]byte("root:x:0:0:root:/:/sbin/nologin\ndriftless:x:65532:65532:driftless:/:/sbin/nologin\n"),
		},
		{"/etc/group", 0o644, []byte("root:x:0:\ndriftless:x:65532:\n")},
		{certificates, 0o644, roots()},
		{materials, 0o644, sbom},
		{"/" + p.file, 0o755, program},
	} {
		if err := add(f.name, f.mode, f.data); err != nil {
			return nil, fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	if err := directory("tmp", 0o1777); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}

// roots returns the certificate authorities of Mozilla's programme, except those that it trusts only for some purposes.
func roots() []byte {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return b.Bytes()
}
