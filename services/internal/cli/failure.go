package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"

	"github.com/driftless-sync/driftless/services/internal/visible"
)

// failureAnswer is an error of -o json. It is the last line of standard error.
type failureAnswer struct {
	Error failure `json:"error"`
}

type failure struct {
	// Code is usage, failed, or a code of Connect (https://connectrpc.com/docs/protocol#error-codes).
	Code    string `json:"code"`
	Message string `json:"message"`
	// Remedy is what to try.
	Remedy string `json:"remedy"`
}

// reportFailure writes an error that ends the command.
func reportFailure(w io.Writer, args []string, err error) {
	if !wantsJSON(args) {
		say(w, "driftless:", lines(err.Error()))
		return
	}
	data, failed := encodeJSON(failureAnswer{failureOf(err)})
	if failed != nil {
		say(w, "driftless:", lines(errors.Join(err, failed).Error()))
		return
	}
	_, _ = w.Write(visible.JSON(append(data, '\n')))
}

// wantsJSON reports whether a command line asks for JSON. It may be one that cannot be parsed.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		switch arg {
		case "--":
			return false
		case "-ojson", "-o=json", "--output=json":
			return true
		case "-o", "--output":
			if slices.Contains(args[i+1:min(i+2, len(args))], "json") {
				return true
			}
		}
	}
	return false
}

func failureOf(err error) failure {
	f := failure{Code: codeOf(err), Message: strings.TrimPrefix(err.Error(), connect.CodeOf(err).String()+": ")}
	f.Remedy = remedies[f.Code]
	if errors.Is(err, errNoMesh) {
		f.Remedy = "Start a mesh with `driftless up`, or set --control and --ingest, or --data-dir."
	}
	return f
}

func codeOf(err error) string {
	var failed *connect.Error
	var wrong *kong.ParseError
	switch {
	case errors.As(err, &failed):
		return failed.Code().String()
	case errors.As(err, &wrong):
		return usageCode
	case errors.Is(err, errNoMesh):
		return connect.CodeUnavailable.String()
	case errors.Is(err, context.Canceled):
		return connect.CodeCanceled.String()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return connect.CodeDeadlineExceeded.String()
	case errors.Is(err, fs.ErrNotExist):
		return connect.CodeNotFound.String()
	default:
		return failedCode
	}
}

// Codes of errors that no API returned.
const (
	usageCode  = "usage"
	failedCode = "failed"
)

// remedies say for each code what to try. The message often says it better.
var remedies = map[string]string{
	usageCode:  "See --help of the command.",
	failedCode: "Do what the message says. `driftless doctor` checks settings, database, NATS and Stripe.",

	connect.CodeUnavailable.String():      "Check that the mesh runs and can be reached (`driftless doctor`), then try again.",
	connect.CodeDeadlineExceeded.String(): "See `driftless status` for what takes long, then try again with more time.",
	connect.CodeCanceled.String():         "The command was interrupted: run it again.",
	connect.CodeUnauthenticated.String():  "Set the token of the mesh in DRIFTLESS_TOKEN.",
	connect.CodePermissionDenied.String(): "Use a token with the role that the command needs.",
	connect.CodeNotFound.String():         "Check the id or the name of the file: `driftless products` lists what is known.",
	connect.CodeInvalidArgument.String():  "Correct the argument that the message names.",
	connect.CodeAlreadyExists.String():    "Choose another name, or remove what exists.",
	connect.CodeUnimplemented.String():    "The mesh runs an earlier version than this command: upgrade it.",

	connect.CodeFailedPrecondition.String(): "Do first what the message says, then try again.",
	connect.CodeAborted.String():            "Something changed meanwhile: look again, then try again.",
	connect.CodeOutOfRange.String():         "Choose a value in the range that the message names.",
	connect.CodeResourceExhausted.String():  "Wait a minute, or ask for less at once.",
	connect.CodeInternal.String():           "See the log of the service that answered, and report it.",
	connect.CodeUnknown.String():            "See the log of the service that answered.",
	connect.CodeDataLoss.String():           "See the log of the service that answered.",
}
