package catalogtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/internal/catalog"
	"github.com/driftless-sync/driftless/services/internal/catalog/catalogtest"
)

// Many tests check that products survive: the laws of Diff, the round trips through Stripe and through the built-in
// tables. They check nothing of a field that no generated product has. So this is the test that fails first for a new
// field of the contract.
func TestProduct_GeneratesEveryField(t *testing.T) {
	t.Parallel()
	generated := map[string]bool{}
	for seed := range 300 {
		noteFields("", catalogtest.Product("pro").Example(seed).ProtoReflect(), generated)
	}
	var missing []string
	for _, field := range fieldsWithin("", (&catalogv1.Product{}).ProtoReflect().Descriptor()) {
		if !generated[field] {
			missing = append(missing, field)
		}
	}
	require.Empty(t, missing, "give these fields values in Product or Price of generate.go")
}

// fieldsWithin returns the paths of all fields of a message and of the messages that it contains.
func fieldsWithin(prefix string, m protoreflect.MessageDescriptor) (paths []string) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		path := prefix + string(f.Name())
		paths = append(paths, path)
		if f.IsMap() {
			f = f.MapValue()
		}
		if f.Kind() == protoreflect.MessageKind {
			paths = append(paths, fieldsWithin(path+".", f.Message())...)
		}
	}
	return paths
}

// noteFields notes the paths of all fields that a message and the messages that it contains have.
func noteFields(prefix string, m protoreflect.Message, into map[string]bool) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := prefix + string(f.Name())
		into[path] = true
		switch {
		case f.IsMap() && f.MapValue().Kind() == protoreflect.MessageKind:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				noteFields(path+".", v.Message(), into)
				return true
			})
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				noteFields(path+".", v.List().Get(i).Message(), into)
			}
		case f.Kind() == protoreflect.MessageKind && !f.IsMap():
			noteFields(path+".", v.Message(), into)
		}
		return true
	})
}

// A field that no edit in Stripe changes is a field whose drift no law sees.
func TestDashboard_EditsEveryOwnableField(t *testing.T) {
	t.Parallel()
	edited := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		s := &catalogtest.Stripe{}
		_, err := s.Call(catalog.CreateProduct, "pro", catalog.Param{Name: "id", Value: "pro"},
			catalog.Param{Name: "name", Value: "Pro"})
		require.NoError(t, err)
		for _, key := range []string{"key-1", "key-2"} {
			_, err := s.Call(catalog.CreatePrice, "", catalog.Param{Name: "product", Value: "pro"},
				catalog.Param{Name: "currency", Value: "usd"}, catalog.Param{Name: "unit_amount", Value: "1000"},
				catalog.Param{Name: "lookup_key", Value: key})
			require.NoError(t, err)
		}
		for range 20 {
			product, prices := s.Whole("pro")
			catalogtest.Dashboard(t, s, "pro")
			editedProduct, _ := s.Whole("pro")
			noteEdits("", product.Product, editedProduct.Product, edited)
			for _, p := range prices {
				noteEdits("prices.", p.Price, s.Price(p.StripeID).Price, edited)
			}
		}
	})
	for prefix, fields := range map[string][]catalog.Field{
		"": catalog.ProductFields(), "prices.": catalog.PriceFields(),
	} {
		for _, f := range fields {
			if f.Ownable {
				require.True(t, edited[prefix+f.Name], "add an edit of %s%s to Dashboard of generate.go", prefix, f.Name)
			}
		}
	}
}

// noteEdits notes the fields in which an object differs from what it was before. An object that is gone has none.
func noteEdits(prefix string, before, after proto.Message, into map[string]bool) {
	was, is := before.ProtoReflect(), after.ProtoReflect()
	if !was.IsValid() || !is.IsValid() {
		return
	}
	for i := range was.Descriptor().Fields().Len() {
		f := was.Descriptor().Fields().Get(i)
		if !was.Get(f).Equal(is.Get(f)) {
			into[prefix+string(f.Name())] = true
		}
	}
}
