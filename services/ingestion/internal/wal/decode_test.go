package wal

import (
	"encoding/binary"
	"maps"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// u16 and u32 encode numbers as Postgres sends them.
func u16(n int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }
func u32(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
func u64(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func tuple(values ...string) string {
	s := u16(len(values))
	for _, v := range values {
		switch v {
		case "null":
			s += "n"
		case "toast":
			s += "u"
		default:
			s += "t" + u32(len(v)) + v
		}
	}
	return s
}

const relationID = 7

// messages returns a message of each kind, from a transaction that changes shop.items (id, name).
func messages() map[string]string {
	return map[string]string{
		"begin": "B" + u64(100) + u64(0) + u32(9),
		"relation": "R" + u32(relationID) + "shop\x00items\x00d" + u16(2) + "\x01id\x00" + u32(25) + u32(-1) +
			"\x00name\x00" + u32(25) + u32(-1),
		"type":     "Y" + u32(600) + "shop\x00kind\x00",
		"origin":   "O" + u64(1) + "elsewhere\x00",
		"message":  "M\x01" + u64(1) + "traceparent\x00" + u32(4) + "00-1",
		"insert":   "I" + u32(relationID) + "N" + tuple("mug", "Mug"),
		"update":   "U" + u32(relationID) + "O" + tuple("mug", "Mug") + "N" + tuple("cup", "toast"),
		"new":      "U" + u32(relationID) + "N" + tuple("mug", "null"),
		"delete":   "D" + u32(relationID) + "K" + tuple("cup", "null"),
		"truncate": "T" + u32(1) + "\x00" + u32(relationID),
		"commit":   "C\x00" + u64(100) + u64(200) + u64(0),
	}
}

var order = []string{
	"begin", "origin", "relation", "type", "message", "insert", "update", "new", "delete", "truncate",
	"commit",
}

func items() *decoder {
	return newDecoder(
		[]Table{{
			Name:    "shop.items",
			Plain:   "shop.items",
			OID:     relationID,
			Columns: []string{"id"},
			Entries: []Entry{{Product: "id"}},
		}})
}

// transaction decodes all messages, with some of them replaced, and returns the chunk that the commit completes.
func transaction(t *testing.T, d *decoder, instead map[string]string) *Chunk {
	t.Helper()
	all := messages()
	maps.Copy(all, instead)
	for _, name := range order {
		chunk, err := d.decode([]byte(all[name]))
		require.NoError(t, err, name)
		if chunk != nil {
			require.Equal(t, "commit", name)
			return chunk
		}
	}
	return nil
}

func TestDecode_ReadsEveryKindOfMessage(t *testing.T) {
	t.Parallel()
	chunk := transaction(t, items(), nil)
	require.Equal(t, pglogrepl.LSN(200), chunk.EndLSN)
	require.Equal(t, "00-1", chunk.Traceparent)
	var ids []string
	for _, p := range chunk.Products {
		ids = append(ids, p.ID)
	}
	require.Equal(t, []string{"mug", "cup"}, ids)
}

// Postgres sends no old row if the replica identity did not change. The new row is then all that the log has.
func TestDecode_IsUncertainOfColumnBesideIdentity(t *testing.T) {
	t.Parallel()
	insert, update := "I"+u32(relationID), "U"+u32(relationID)
	oldKey, oldRow := update+"K"+tuple("cup", "null"), update+"O"+tuple("mug", "Cup")
	for name, c := range map[string]struct {
		column, message string
		isUncertain     bool
	}{
		"a column of the identity":           {"id", update + "N" + tuple("mug", "Mug"), false},
		"a column of the identity, not sent": {"id", update + "N" + tuple("toast", "Mug"), true},
		"another column":                     {"name", update + "N" + tuple("mug", "Mug"), true},
		"another column, with the old key":   {"name", oldKey + "N" + tuple("mug", "Mug"), true},
		"another column, with the old row":   {"name", oldRow + "N" + tuple("mug", "Mug"), false},
		"another column, of an inserted row": {"name", insert + "N" + tuple("mug", "Mug"), false},
	} {
		for kind, entry := range map[string]Entry{
			"named": {Product: c.column}, "looked up": {Columns: []string{c.column}},
		} {
			d := items()
			d.tables[0].Columns, d.tables[0].Entries = []string{c.column}, []Entry{entry}
			for _, message := range []string{messages()["begin"], messages()["relation"], c.message} {
				_, err := d.decode([]byte(message))
				require.NoError(t, err)
			}
			chunk, err := d.decode([]byte(messages()["commit"]))
			require.NoError(t, err)
			require.Equal(t, c.isUncertain, len(chunk.Uncertain) > 0, "%s, %s: %v", name, kind, chunk.Uncertain)
		}
	}
}

// allocated returns the number of bytes that work allocates.
func allocated(work func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	work()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// pglogrepl allocates the length that a message declares before it checks it: four gigabytes for these few bytes.
func TestDecode_AllocatesNothingForFalseLength(t *testing.T) {
	d := items()
	for name, message := range map[string]string{
		"value":     "I" + u32(relationID) + "N" + u16(1) + "t" + u32(1<<30),
		"longest":   "I" + u32(relationID) + "N" + u16(1) + "b" + u32(1<<32-1),
		"old":       "U" + u32(relationID) + "O" + u16(1) + "t" + u32(1<<30),
		"new":       "U" + u32(relationID) + "K" + tuple("mug") + "N" + u16(1) + "t" + u32(1<<30),
		"delete":    "D" + u32(relationID) + "K" + u16(1) + "t" + u32(1<<30),
		"columns":   "I" + u32(relationID) + "N" + u16(1<<16-1) + "n",
		"relations": "T" + u32(1<<30) + "\x00" + u32(relationID),
		"content":   "M\x01" + u64(1) + "traceparent\x00" + u32(1<<30),
		"empty":     "",
	} {
		bytes := allocated(func() {
			_, err := d.decode([]byte(message))
			require.ErrorContains(t, err, "decode the write-ahead log: malformed message", name)
		})
		require.Less(t, bytes, uint64(1<<20), name)
	}
}

// A message that is cut at any position causes an error or nothing, and no panic.
func TestDecode_RefusesTruncatedMessage(t *testing.T) {
	t.Parallel()
	for name, message := range messages() {
		for end := range len(message) {
			d := items()
			_, err := d.decode([]byte(messages()["begin"]))
			require.NoError(t, err)
			_, err = d.decode([]byte(messages()["relation"]))
			require.NoError(t, err)
			_, err = d.decode([]byte(message[:end]))
			if name != "update" && name != "relation" {
				require.Error(t, err, "%s of %d bytes", name, end)
			}
		}
	}
}

func TestReader_AcceptsEmptyMessage(t *testing.T) {
	t.Parallel()
	r := &Reader{decoder: items()}
	for _, data := range []string{"", "w", "wxyz", "k", "kxyz"} {
		chunk, err := r.message(t.Context(), &pgproto3.CopyData{Data: []byte(data)})
		require.Nil(t, chunk)
		require.Equal(t, data == "", err == nil, "%q", data)
	}
}

// Everyone who may log in may write a message of any size into a transaction.
func TestDecode_DropsLongMarks(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10<<20)
	for _, prefix := range []string{TraceparentPrefix, BarrierPrefix, "theirs"} {
		chunk := transaction(t, items(),
			map[string]string{"message": "M\x01" + u64(1) + prefix + "\x00" + u32(len(long)) + long})
		require.Empty(t, chunk.Traceparent)
		require.Empty(t, chunk.Barriers)
	}
	d := items()
	_, err := d.decode([]byte(messages()["begin"]))
	require.NoError(t, err)
	for range 10_000 {
		_, err = d.decode([]byte("M\x01" + u64(1) + BarrierPrefix + "\x00" + u32(1) + "x"))
		require.NoError(t, err)
	}
	require.Len(t, d.open.Barriers, maxBarriers)
}

func TestDecode_BoundsValuesOfRows(t *testing.T) {
	t.Parallel()
	d := items()
	for _, name := range []string{"begin", "relation"} {
		_, err := d.decode([]byte(messages()[name]))
		require.NoError(t, err)
	}
	long := strings.Repeat("x", 1<<20)
	for i := range 100 {
		_, err := d.decode([]byte("I" + u32(relationID) + "N" + tuple("p"+string(rune('a'+i)), long)))
		require.NoError(t, err)
	}
	require.Len(t, d.open.Products, 100, "every product is known")
	kept := 0
	for _, p := range d.open.Products {
		require.Len(t, p.Rows, 1)
		require.Equal(t, "shop.items", p.Rows[0].GetTable())
		kept += len(p.Rows[0].GetNewValues()["name"])
	}
	require.LessOrEqual(t, kept, maxImageBytes)
	require.NotZero(t, kept)
}

func FuzzDecode(f *testing.F) {
	for _, name := range order {
		f.Add([]byte(messages()[name]), []byte(messages()["commit"]))
		f.Add([]byte(messages()["relation"]), []byte(messages()[name]))
	}
	f.Add([]byte("I"+u32(relationID)+"N"+u16(1)+"t"+u32(1<<30)), []byte("T"+u32(1<<30)+"\x00"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := items()
		for _, message := range [][]byte{
			[]byte(messages()["begin"]), a, []byte(messages()["relation"]), b,
			[]byte(messages()["insert"]), a, b,
		} {
			size := allocated(func() { _, _ = d.decode(message) })
			// A column of one byte needs a structure and a pointer, and the rest of the process allocates too.
			if size > uint64(1<<20+500*len(message)) {
				t.Fatalf("%d bytes for a message of %d", size, len(message))
			}
		}
	})
}
