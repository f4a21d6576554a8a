package adoption

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/console/internal/view"
	"github.com/driftless-sync/driftless/services/console/internal/web"
	"github.com/driftless-sync/driftless/services/internal/adoption"
)

// maxFile is the largest file in bytes that the console takes: some thousand products. It is sent back in a form.
const maxFile = 1 << 20

// export writes all matches as the file that `driftless adopt apply` reads. Products that are left out are not
// approved.
func export(v *web.Visit) (web.Download, error) {
	q := parse(v.URL.Query())
	plan, err := readPlan(v, &controlv1.PlanAdoptionRequest{MetadataKey: q.key})
	if err != nil {
		return web.Download{}, err
	}
	if plan.GetUnknown() != "" {
		return web.Download{}, connect.NewError(connect.CodeFailedPrecondition, errors.New(plan.GetUnknown()))
	}
	content, err := q.write(plan)
	return web.Download{Name: "adopt.yaml", Content: content}, err
}

// write returns a plan as a file.
func (q query) write(plan *controlv1.PlanAdoptionResponse) ([]byte, error) {
	var b bytes.Buffer
	out, err := adoption.NewWriter(&b, adoption.Header{
		Account:     plan.GetAccount(),
		MetadataKey: plan.GetMetadataKey(),
		PlannedAt:   plan.GetPlannedAt().AsTime().UTC().Truncate(time.Second),
		Scan:        plan.GetScan().GetId(),
	})
	if err != nil {
		return nil, err
	}
	for _, m := range plan.GetMatches() {
		e := entryOf(m)
		e.Approve = e.Approve && !q.isOut(e.Product)
		about := adoption.About{Name: m.GetName(), StripeName: m.GetStripeName(), Create: m.GetCreate()}
		for _, d := range m.GetDoubts() {
			about.Reservations = append(about.Reservations, d.GetDetail())
		}
		if err := out.Add(e, about); err != nil {
			return nil, err
		}
	}
	if err := out.Flush(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// upload is a file that a visitor has chosen.
type upload struct {
	name, content string
	header        adoption.Header
	// approved are the approved entries. others counts those that are not.
	approved []adoption.Entry
	others   int
}

// read reads a file of adoptions for an account.
func read(name, content, account string) (upload, error) {
	u := upload{name: name, content: content}
	if len(content) > maxFile {
		return u, fmt.Errorf("%s is larger than the console takes (1 MiB): use `driftless adopt apply`", name)
	}
	file := adoption.File{Name: name, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader([]byte(content))), nil
	}}
	var err error
	if u.header, err = file.Header(); err != nil {
		return u, err
	}
	if u.header.Account != account {
		return u, fmt.Errorf("%s is for account %s, and this is %s", name, u.header.Account, account)
	}
	for e, err := range file.Entries() {
		switch {
		case err != nil:
			return u, err
		case e.Approve:
			u.approved = append(u.approved, e)
		default:
			u.others++
		}
	}
	return u, nil
}

// encoded returns the content for a field of a form, in which line breaks would change.
func (u upload) encoded() string { return base64.StdEncoding.EncodeToString([]byte(u.content)) }

// reviewed is an upload with what has become of its entries.
type reviewed struct {
	upload
	// left are still to be adopted.
	left  []adoption.Entry
	stale []string
	// since says what has changed since the plan was made, empty if nothing is known to have.
	since string
}

// review shows what a file would do.
func review(v *web.Visit) (view.Page, error) {
	name, content, err := v.Upload("file")
	if err != nil {
		return view.Page{}, err
	}
	u, err := read(name, string(content), v.Chrome.Account)
	if err != nil {
		return view.Page{}, connect.NewError(connect.CodeInvalidArgument, err)
	}
	plan, err := v.Control.PlanAdoption(v.Context(),
		connect.NewRequest(&controlv1.PlanAdoptionRequest{MetadataKey: u.header.MetadataKey, Limit: 1}))
	if err != nil {
		return view.Page{}, err
	}
	r := reviewed{upload: u, since: since(u.header, plan.Msg)}
	if plan.Msg.GetUnknown() != "" {
		r.stale = append(r.stale, plan.Msg.GetUnknown())
	} else if r.left, r.stale, err = check(v, u.header.MetadataKey, u.approved); err != nil {
		return view.Page{}, err
	}
	return view.Page{Title: "Adoption", Section: "/adoption", Body: reviewPage(r)}, nil
}

// since says how a file's plan is older than what is known now.
func since(h adoption.Header, plan *controlv1.PlanAdoptionResponse) string {
	if h.Scan != plan.GetScan().GetId() {
		return "Stripe was scanned again since the file was made. Each entry is compared with what is known now."
	}
	return "Each entry is compared with what is known now."
}

// applyFile adopts what a file approves.
func applyFile(v *web.Visit) (web.Done, error) {
	content, err := base64.StdEncoding.DecodeString(v.PostForm.Get("content"))
	if err != nil {
		return web.Done{}, invalid("the form cannot be read: %w", err)
	}
	u, err := read(v.PostForm.Get("name"), string(content), v.Chrome.Account)
	if err != nil {
		return web.Done{}, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if len(u.approved) == 0 {
		return web.Done{}, invalid("%s approves nothing", u.name)
	}
	return apply(v, u.header.MetadataKey, u.approved)
}
