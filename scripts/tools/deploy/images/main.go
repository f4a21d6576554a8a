package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	var platforms, only string
	flag.StringVar(&o.root, "root", ".", "directory of the repository")
	flag.StringVar(&o.out, "out", ".build/images", "directory to write to")
	flag.StringVar(&o.version, "version", "devel", "version of the release; the images' tag")
	flag.StringVar(&o.revision, "revision", "", "commit that is built")
	flag.StringVar(&o.date, "date", "", "when that commit was made (RFC 3339)")
	flag.StringVar(&o.repository, "repository", "ghcr.io/driftless-sync", "registry and path before the images' names")
	flag.StringVar(&platforms, "platforms", "linux/amd64,linux/arm64", "platforms, separated by commas")
	flag.StringVar(&only, "only", "", "names of the images to build, separated by commas (default: all)")
	flag.BoolVar(&o.push, "push", false, "push to the registry with the credentials of docker's configuration")
	flag.BoolVar(&o.insecure, "insecure", false, "use plain HTTP for the registry")
	flag.Parse()
	for p := range strings.SplitSeq(platforms, ",") {
		platform, err := v1.ParsePlatform(p)
		if err != nil || platform.OS != "linux" {
			return fmt.Errorf("--platforms: %q is not a Linux platform like linux/amd64", p)
		}
		o.platforms = append(o.platforms, *platform)
	}
	chosen, err := choose(only)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "IMAGE\tPLATFORM\tPROGRAM\tCOMPRESSED\tDIGEST")
	for _, p := range chosen {
		if err := o.image(ctx, p, table); err != nil {
			return fmt.Errorf("%s: %w", p.image, err)
		}
	}
	return table.Flush()
}

// choose returns the programs of the named images.
func choose(only string) ([]program, error) {
	if only == "" {
		return programs[:len(programs)-1], nil
	}
	var chosen []program
	for want := range strings.SplitSeq(only, ",") {
		found := false
		for _, p := range programs {
			if p.image == want {
				chosen, found = append(chosen, p), true
			}
		}
		if !found {
			names := make([]string, len(programs))
			for i, p := range programs {
				names[i] = p.image
			}
			return nil, fmt.Errorf("--only: there is no image %q; there are %s", want, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}

// image builds an image for every platform, writes it, and pushes it if asked to.
func (o options) image(ctx context.Context, p program, table *tabwriter.Writer) error {
	tag, err := name.NewTag(o.repository+"/"+p.image+":"+o.version, o.references()...)
	if err != nil {
		return fmt.Errorf("invalid name of an image: %w", err)
	}
	index, images, err := o.build(ctx, p)
	if err != nil {
		return err
	}
	dir := filepath.Join(o.out, p.image)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := layout.Write(filepath.Join(dir, "oci"), index); err != nil {
		return fmt.Errorf("write the OCI layout: %w", err)
	}
	for i, built := range images {
		if err := tarball.WriteToFile(filepath.Join(dir, built.platform.Architecture+".tar"), tag,
			built.image); err != nil {
			return fmt.Errorf("write the archive: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, built.platform.Architecture+".cdx.json"), built.sbom,
			0o644); err != nil {
			return err
		}
		digest, err := built.image.Digest()
		if err != nil {
			return err
		}
		size, err := compressed(built.image)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f MB\t%.1f MB\t%s\n", p.image, o.platforms[i], mb(built.program), mb(size),
			digest)
	}
	if !o.push {
		return nil
	}
	if err := remote.WriteIndex(tag, index, remote.WithContext(ctx),
		remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push to %s: %w", tag, err)
	}
	return nil
}

func (o options) references() []name.Option {
	if o.insecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

func compressed(image v1.Image) (int64, error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, err
	}
	var sum int64
	var errs error
	for _, l := range layers {
		size, err := l.Size()
		errs = errors.Join(errs, err)
		sum += size
	}
	return sum, errs
}

func mb(bytes int64) float64 { return float64(bytes) / 1e6 }
