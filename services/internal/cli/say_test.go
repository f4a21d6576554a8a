package cli

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/driftless-sync/driftless/proto/driftless/control/v1"
	"github.com/driftless-sync/driftless/services/internal/visible"
)

// hostile has characters that act on a terminal, and a line that looks like one of ours.
const hostile = "x\x1b[31m\x1b]0;pwned\x07\r\x7f\u009b\u202e\u2066\u2028\nforged: all is well"

// fill sets every text of a message to hostile.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		value := func() (v protoreflect.Value, ok bool) {
			switch f.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(hostile), true
			case protoreflect.Uint64Kind:
				return protoreflect.ValueOfUint64(3), true
			case protoreflect.EnumKind:
				return protoreflect.ValueOfEnum(4), true
			default:
				return v, false
			}
		}
		switch {
		case f.IsMap():
			if f.MapValue().Kind() == protoreflect.StringKind {
				m.Mutable(f).Map().Set(
					protoreflect.ValueOfString(hostile).MapKey(), protoreflect.ValueOfString(hostile),
				)
			}
		case f.Message() != nil && depth == 0:
		case f.Message() != nil && f.Message().FullName() == "google.protobuf.Timestamp":
			if !f.IsList() {
				now := timestamppb.Now()
				at := m.Mutable(f).Message()
				at.Set(at.Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(now.GetSeconds()))
			}
		case f.Message() != nil && f.IsList():
			list := m.Mutable(f).List()
			item := list.NewElement()
			fill(item.Message(), depth-1)
			list.Append(item)
		case f.Message() != nil && f.Message().FullName() == "google.protobuf.Duration":
		case f.Message() != nil:
			fill(m.Mutable(f).Message(), depth-1)
		default:
			v, ok := value()
			if ok && f.IsList() {
				m.Mutable(f).List().Append(v)
			} else if ok {
				m.Set(f, v)
			}
		}
	}
}

// hostileService answers every call of the control API with hostile texts, as an answer or as an error.
func hostileService(t *testing.T, fails bool) (url string) {
	t.Helper()
	methods := controlv1.File_driftless_control_v1_control_proto.Services().Get(0).Methods()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := methods.ByName(protoreflect.Name(path.Base(r.URL.Path)))
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		if fails || method == nil {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"code": "invalid_argument", "message": hostile})
			return
		}
		answer := dynamicpb.NewMessage(method.Output())
		fill(answer, 6)
		data, err := encode(answer, r.Header.Get("Content-Type"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func encode(m *dynamicpb.Message, contentType string) ([]byte, error) {
	if strings.Contains(contentType, "json") {
		return protojson.Marshal(m)
	}
	return proto.Marshal(m)
}

func TestCommands_PrintNothingThatActsOnATerminal(t *testing.T) {
	for _, fails := range []bool{false, true} {
		url := hostileService(t, fails)
		for _, command := range []string{
			"status", "status --check", "status --consumers", "top", "tail", "retries", "products", "products --csv",
			"plan", "drift", "drift ignore mug", "drift resolve mug --keep catalog", "history mug", "dead",
			"history --at 2h", "history mug --at 2h", "diff --from 2h", "rollback mug --to 2h --yes --timeout 0s",
			"dead show mug", "dead replay --all",
			"dead drop --all", "approve --all --reason x", "reject --all --reason x",
			"pause push", "resume push", "sync mug --no-wait", "reread mug --no-wait",
		} {
			for _, form := range []string{"text", "json"} {
				errors, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
				require.NoError(t, err)
				stderr := os.Stderr
				os.Stderr = errors
				_, out := printed(t, append(strings.Fields(command), "--control", url, "-o", form)...)
				os.Stderr = stderr
				require.NoError(t, errors.Close())
				said, err := os.ReadFile(errors.Name())
				require.NoError(t, err)
				all := out + string(said)
				if command != "reread mug --no-wait" {
					require.Contains(t, all, "pwned", command)
				}
				require.False(t, strings.ContainsFunc(all, func(r rune) bool {
					return r != '\n' && r != '\t' && visible.Text(string(r)) != string(r)
				}), "%s -o %s: %q", command, form, all)
				for line := range strings.SplitSeq(all, "\n") {
					require.False(t, strings.HasPrefix(line, "forged"), "%s -o %s: %q", command, form, all)
				}
				if form == "json" && !fails && strings.HasPrefix(out, "{") {
					require.True(t, json.Valid([]byte(out)), "%s: %s", command, out)
				}
			}
		}
	}
}

func TestSayf_KeepsTrustedText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a  \"\\x1b\" b\\n", sayingf("%-3s%q %s", "a", "\x1b", "b\n"))
	require.Equal(t, "\x1b[32m+\x1b[0m 7 [a\\x1b]", sayingf("%s %d %v", raw("\x1b[32m+\x1b[0m"), 7, []string{"a\x1b"}))
	require.Equal(t, "é😀", sayingf("%s", "é😀"))
}

// The test keeps new commands to the rule of say.go.
func TestCommands_PrintOnlyThroughSay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "say.go" {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			called, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, ok := called.X.(*ast.Ident)
			if !ok || pkg.Name != "fmt" {
				return true
			}
			require.False(
				t, strings.HasPrefix(called.Sel.Name, "Print"), "%s: use say or sayf", set.Position(call.Pos()),
			)
			if strings.HasPrefix(called.Sel.Name, "Fprint") {
				first := call.Args[0]
				if unary, ok := first.(*ast.UnaryExpr); ok {
					first = unary.X
				}
				to, ok := first.(*ast.Ident)
				require.True(t,
					ok && (to.Name == "b" || to.Name == "a" || to.Name == "t" || to.Name == "jsonOut" ||
						name == "topology.go"),
					"%s: use say or sayf", set.Position(call.Pos()))
			}
			return true
		})
	}
}

func TestLineWriter_EscapesOutputOfServices(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer file.Close()
	for _, format := range []bool{false, true} {
		w := (&lineWriter{w: file, json: format}).named("push")
		for _, line := range []string{"panic: \x1b[31m\u202e\n", "\tat x.go:1\n", `{"msg":"m"}` + "\n"} {
			n, err := w.Write([]byte(line))
			require.NoError(t, err)
			require.Len(t, line, n)
		}
	}
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	const escaped = "[push] panic: \\x1b[31m\\u202e\n[push] \tat x.go:1\n"
	require.Equal(t, escaped+`[push] {"msg":"m"}`+"\n"+escaped+`{"msg":"m"}`+"\n", string(data))
}
