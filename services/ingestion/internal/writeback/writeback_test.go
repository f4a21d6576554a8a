package writeback_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	catalogv1 "github.com/driftless-sync/driftless/proto/driftless/catalog/v1"
	"github.com/driftless-sync/driftless/services/ingestion/internal/writeback"
	"github.com/driftless-sync/driftless/services/internal/local/localtest"
)

const patience = 30 * time.Second

func TestWrite_WritesOnlyGivenFields(t *testing.T) {
	r := newShop(t)
	w := r.writer()
	command := r.command("mug", func(p *catalogv1.Product) {
		p.Description, p.Name, p.Metadata["seo_title"], p.Metadata["stock"] = "Green", "Not ordered", "The mug", "8"
		price(p, "mug-eur").Nickname = "For Europe"
	}, "description", "metadata.seo_title")
	require.Equal(t, writeback.Written, r.write(w, command))
	require.Equal(t, "Green", r.value(`SELECT blurb FROM shop.items WHERE sku = 'mug'`))
	require.Equal(t, "Mug", r.value(`SELECT title FROM shop.items WHERE sku = 'mug'`))
	require.JSONEq(t, `{"stock": 7, "seo_title": "The mug"}`, r.value(`SELECT tags FROM shop.items WHERE sku = 'mug'`),
		"a number stays one")
	require.Equal(t, "Euro", r.value(`SELECT label FROM shop.tariffs WHERE code = 'mug-eur'`))
	require.Equal(t, "Red", r.value(`SELECT blurb FROM shop.items WHERE sku = 'cup'`))

	require.Equal(t, writeback.Done, r.write(w, command), "the same command again")
}

func TestWrite_SupportsEveryFormOfColumn(t *testing.T) {
	r := newShop(t)
	w := r.writer()
	result := r.write(w, r.command("mug", func(p *catalogv1.Product) {
		p.Active = new(false)
		p.Images = []string{"https://example.com/b,c.png", "https://example.com/d.png"}
		p.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "Dishwasher safe"}}
		p.Description = ""
		delete(p.Metadata, "stock")
		price(p, "mug.usd").Nickname = "Dollar"
		price(p, "mug.usd").Metadata = map[string]string{"region": "us", "a.b": "c"}
		price(p, "mug-eur").Metadata = nil
	}, "active", "images", "marketing_features", "description", "metadata.stock", "prices.mug.usd.nickname",
		"prices.mug.usd.metadata.region",
		"prices.mug.usd.metadata.a.b", "prices.mug-eur.metadata"))
	require.Equal(t, writeback.Written, result)
	for column, want := range map[string]string{
		"status": "gone", "photos": `{"https://example.com/b,c.png",https://example.com/d.png}`,
		"points": `[{"name": "Dishwasher safe"}]`,
		"blurb":  "NULL", "tags": `{"seo_title": "A mug"}`,
	} {
		require.Equal(t, want, r.value(`SELECT `+column+`::text FROM shop.items WHERE sku = 'mug'`), column)
	}
	require.Equal(t, `1250.50 Dollar {"a.b": "c", "region": "us"}`,
		r.value(`SELECT cents || ' ' || label || ' ' || attributes FROM shop.tariffs WHERE code = 'mug.usd'`))
	require.Equal(t, `1400.00 Euro {}`,
		r.value(`SELECT cents || ' ' || label || ' ' || attributes FROM shop.tariffs WHERE code = 'mug-eur'`))

	r.exec(`UPDATE shop.items SET points = '["Blue"]' WHERE sku = 'mug'`)
	r.write(w, r.command("mug", func(p *catalogv1.Product) {
		p.MarketingFeatures = []*catalogv1.MarketingFeature{{Name: "Red"}}
	}, "marketing_features"))
	require.Equal(t, `["Red"]`, r.value(`SELECT points FROM shop.items WHERE sku = 'mug'`), "in its old form")
}

// The price's amount is in a column unit_amount_decimal. A command may name it by the other form of the value.
func TestWrite_WritesAmounts(t *testing.T) {
	r := newShop(t)
	command := r.command("mug", func(p *catalogv1.Product) {
		price(p, "mug-eur").UnitAmount, price(p, "mug-eur").UnitAmountDecimal = "1900", ""
	}, "prices.mug-eur.unit_amount")
	require.Equal(t, writeback.Written, r.write(r.writer(), command))
	require.Equal(t, "1900.00 Euro 1250.50", r.value(`SELECT a.cents || ' ' || a.label || ' ' || b.cents
		FROM shop.tariffs a, shop.tariffs b WHERE a.code = 'mug-eur' AND b.code = 'mug.usd'`))
}

func TestWrite_InsertsPrice(t *testing.T) {
	r := newShop(t)
	result := r.write(r.writer(), r.command("mug", func(p *catalogv1.Product) {
		p.Prices = append(p.Prices, &catalogv1.Price{
			Id:                "mug-big",
			Currency:          "eur",
			UnitAmountDecimal: "1800.5",
			Nickname:          "Big",
		})
		price(p, "mug-eur").UnitAmount = "1500"
	}, "prices.mug-big", "prices.mug-eur.unit_amount"))
	require.Equal(t, writeback.Written, result)
	require.Equal(t, "mug 1800.50 Big",
		r.value(`SELECT sku || ' ' || cents || ' ' || label FROM shop.tariffs WHERE code = 'mug-big'`))
	require.Equal(t, "1500.00", r.value(`SELECT cents FROM shop.tariffs WHERE code = 'mug-eur'`))
}

func TestWrite_YieldsToConcurrentEdit(t *testing.T) {
	describe := func(r *rig) writeback.Command {
		return r.command("mug", func(p *catalogv1.Product) { p.Description = "Stripe's" }, "description")
	}
	const read = `SELECT blurb FROM shop.items WHERE sku = 'mug'`

	t.Run("committed before", func(t *testing.T) {
		for name, edit := range map[string]string{
			"the field":        `UPDATE shop.items SET blurb = 'ours' WHERE sku = 'mug'`,
			"another field":    `UPDATE shop.items SET title = 'Ours' WHERE sku = 'mug'`,
			"a price":          `UPDATE shop.tariffs SET label = 'ours' WHERE code = 'mug-eur'`,
			"removal":          `WITH gone AS (DELETE FROM shop.tariffs WHERE sku = 'mug' RETURNING 1) SELECT count(*) FROM gone`,
			"an invalid value": `UPDATE shop.items SET tags = '{"a": {}}' WHERE sku = 'mug'`,
		} {
			t.Run(name, func(t *testing.T) {
				r := newShop(t)
				command := describe(r)
				r.exec(edit)
				before := r.value(read)
				require.Equal(t, writeback.Superseded, r.write(r.writer(), command))
				require.Equal(t, before, r.value(read))
			})
		}
	})

	// Another session has changed the row and not committed yet, so the write-back waits for the row.
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprintf("committed meanwhile: %v", commit), func(t *testing.T) {
			r := newShop(t)
			w, command := r.writer(), describe(r)
			tx := r.beginTx()
			_, err := tx.Exec(t.Context(), `UPDATE shop.items SET blurb = 'ours' WHERE sku = 'mug'`)
			require.NoError(t, err)
			var result writeback.Result
			var failed error
			var wg sync.WaitGroup
			wg.Go(func() { result, failed = w.Write(t.Context(), command) })
			waitForLock(t, r.pool)
			if commit {
				require.NoError(t, tx.Commit(t.Context()))
			} else {
				require.NoError(t, tx.Rollback(t.Context()))
			}
			wg.Wait()
			require.NoError(t, failed)
			if commit {
				require.Equal(t, writeback.Superseded, result)
				require.Equal(t, "ours", r.value(read))
			} else {
				require.Equal(t, writeback.Written, result)
				require.Equal(t, "Stripe's", r.value(read))
			}
		})
	}

	t.Run("begun after", func(t *testing.T) {
		// The write-back locks the row until another session's edit waits for it.
		r := newShop(t)
		r.exec(`CREATE FUNCTION shop.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.blurb = 'Stripe''s' THEN PERFORM pg_advisory_xact_lock(1); END IF; RETURN NEW; END $$`)
		r.exec(`CREATE TRIGGER hold AFTER UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.hold()`)
		w, command, holder := r.writer(), describe(r), r.beginTx()
		_, err := holder.Exec(t.Context(), `SELECT pg_advisory_xact_lock(1)`)
		require.NoError(t, err)
		var wg sync.WaitGroup
		var result writeback.Result
		var failed, edited error
		wg.Go(func() { result, failed = w.Write(t.Context(), command) })
		waitForLock(t, r.pool)
		tx := r.beginTx()
		wg.Go(func() {
			if _, edited = tx.Exec(t.Context(),
				`UPDATE shop.items SET blurb = blurb || ' and ours' WHERE sku = 'mug'`); edited == nil {
				edited = tx.Commit(t.Context())
			}
		})
		waitForLocks(t, r.pool, 2)
		require.NoError(t, holder.Commit(t.Context()))
		wg.Wait()
		require.NoError(t, failed)
		require.NoError(t, edited)
		require.Equal(t, writeback.Written, result)
		require.Equal(t, "Stripe's and ours", r.value(read), "the later edit remains")
	})

	t.Run("the version is unknown", func(t *testing.T) {
		r := newShop(t)
		command := describe(r)
		command.Base = nil
		require.Equal(t, writeback.Superseded, r.write(r.writer(), command))
	})
}

func waitForLock(t *testing.T, pool *pgxpool.Pool) { t.Helper(); waitForLocks(t, pool, 1) }

// waitForLocks waits until n sessions wait for others.
func waitForLocks(t *testing.T, pool *pgxpool.Pool, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		require.NoError(t,
			pool.QueryRow(t.Context(),
				`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting))
		return waiting == n
	}, patience, 5*time.Millisecond)
}

func TestWrite_LosesNoEditInRace(t *testing.T) {
	r := newShop(t)
	w := r.writer()
	const rounds = 40
	var wg sync.WaitGroup
	// Another session appends to one column, and the write-backs write the other.
	wg.Go(func() {
		for range rounds {
			if _, err := r.pool.Exec(t.Context(),
				`UPDATE shop.items SET note = coalesce(note, '') || 'x', title = 'Mug ' || length(coalesce(note, '')) WHERE sku = 'mug'`); err != nil {
				t.Error(err)
			}
		}
	})
	results := map[writeback.Result]int{}
	for i := range rounds {
		command := r.command("mug", func(p *catalogv1.Product) { p.Description = fmt.Sprint("round ", i) },
			"description")
		result, err := w.Write(t.Context(), command)
		if err != nil {
			// Every attempt conflicted with an edit, and the command would come again.
			var failure *writeback.Failure
			require.NotErrorAs(t, err, &failure)
			continue
		}
		results[result]++
		if result == writeback.Written {
			require.Equal(t, fmt.Sprint("round ", i), r.value(`SELECT blurb FROM shop.items WHERE sku = 'mug'`))
		}
	}
	wg.Wait()
	require.Equal(t, fmt.Sprint(rounds), r.value(`SELECT length(note)::text FROM shop.items WHERE sku = 'mug'`), "%v",
		results)
	require.Equal(t, fmt.Sprint("Mug ", rounds-1), r.value(`SELECT title FROM shop.items WHERE sku = 'mug'`))
}

func TestWrite_ReportsFailureAndWritesNothing(t *testing.T) {
	describe := func(p *catalogv1.Product) { p.Description = "Stripe's" }
	for name, c := range map[string]struct {
		setUp  string
		change func(r *rig)
		edit   func(*catalogv1.Product)
		fields []string
		field  string
		want   []string
	}{
		"constraint": {
			setUp: `ALTER TABLE shop.items ADD CONSTRAINT short CHECK (length(blurb) < 5)`,
			want:  []string{"catalog.write_back.product is refused by Postgres", `constraint "short"`},
			field: "description",
		},
		"deferred constraint": {
			setUp: `CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ask the copy desk'; END $$;
				CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON shop.items DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.refuse()`,
			want: []string{"the transaction is refused by Postgres", "ask the copy desk"}, field: "description",
		},
		"trigger that raises": {
			setUp: `CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				RAISE EXCEPTION 'ask the copy desk' USING HINT = 'they are on the second floor'; END $$;
				CREATE TRIGGER refuse BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.refuse()`,
			want: []string{"catalog.write_back.product", "ask the copy desk", "second floor"}, field: "description",
		},
		"trigger that keeps the old value": {
			setUp: `CREATE FUNCTION shop.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.blurb := OLD.blurb; RETURN NEW; END $$;
				CREATE TRIGGER keep BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.keep()`,
			want:  []string{"catalog.write_back.product changed 1 rows", `description is "Blue" instead of "Stripe's"`},
			field: "description",
		},
		"trigger that changes another field": {
			setUp: `CREATE FUNCTION shop.loud() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := upper(OLD.title); RETURN NEW; END $$;
				CREATE TRIGGER loud BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.loud()`,
			want: []string{`name is "MUG" instead of "Mug"`}, field: "name",
		},
		"statement that finds no row": {
			change: func(r *rig) {
				r.queries.WriteBack.Product = `UPDATE shop.items SET blurb = @description WHERE sku = upper(@id)`
			},
			want: []string{"changed 0 rows", `description is "Blue" instead of "Stripe's"`}, field: "description",
		},
		"statement that writes something else": {
			change: func(r *rig) {
				r.queries.WriteBack.Product = `UPDATE shop.items SET blurb = @name WHERE sku = @id`
			},
			want: []string{`description is "Mug" instead of "Stripe's"`}, field: "description",
		},
		"statement that changes every row": {
			setUp: `INSERT INTO shop.items (sku, title) SELECT 'p' || i, 'P' FROM generate_series(1, 1200) i`,
			change: func(r *rig) {
				r.queries.WriteBack.Product = `UPDATE shop.items SET blurb = @description WHERE sku = sku OR sku = @id`
			},
			want: []string{"would have changed 1202 rows", "WHERE"}, field: "description",
		},
		"no statement": {
			change: func(r *rig) { r.queries.WriteBack.Product = "" },
			want:   []string{"set catalog.write_back.product", "docs/mapping.md"}, field: "description",
		},
		"no statement for prices": {
			change: func(r *rig) { r.queries.WriteBack.Price = "" },
			edit:   func(p *catalogv1.Product) { price(p, "mug-eur").Nickname = "x" },
			fields: []string{"prices.mug-eur.nickname"},
			want:   []string{"set catalog.write_back.price"}, field: "prices.mug-eur.nickname",
		},
		"a field that the mapping does not read": {
			edit: func(p *catalogv1.Product) { p.UnitLabel = "seat" }, fields: []string{"unit_label"},
			want: []string{"products query does not return unit_label"}, field: "unit_label",
		},
		"an unknown field": {
			fields: []string{"descriptionn"}, want: []string{"descriptionn is not a field"},
		},
		"a price that is not the product's": {
			fields: []string{"prices.cup-eur.nickname"}, want: []string{"prices.cup-eur.nickname"},
		},
		"a value that would not be valid in the catalog": {
			edit: func(p *catalogv1.Product) { p.Metadata["seo_title"] = "" }, fields: []string{"metadata.seo_title"},
			want: []string{"would not be valid in the catalog", "seo_title"}, field: "metadata",
		},
		"a value that the column cannot hold": {
			edit:   func(p *catalogv1.Product) { p.Name = "A title that is longer than the column in the shop" },
			fields: []string{"name"},
			want:   []string{"too long for type character varying(40)"}, field: "name",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newShop(t)
			if c.setUp != "" {
				r.exec(c.setUp)
			}
			if c.change != nil {
				c.change(r)
			}
			if c.edit == nil {
				c.edit = describe
			}
			if c.fields == nil {
				c.fields = []string{"description"}
			}
			failure := r.mustFail(r.writer(), r.command("mug", c.edit, c.fields...))
			for _, want := range c.want {
				require.Contains(t, failure.Message, want)
			}
			require.Contains(t, failure.Field, c.field)
		})
	}
}

func TestWrite_NamesGrantForMissingRight(t *testing.T) {
	r := newShop(t)
	r.exec(`CREATE ROLE clerk LOGIN PASSWORD 'clerk'`)
	t.Cleanup(func() {
		_, err := r.pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY clerk; DROP ROLE clerk`)
		require.NoError(t, err)
	})
	r.exec(`GRANT USAGE ON SCHEMA shop TO clerk`)
	r.exec(`GRANT SELECT ON ALL TABLES IN SCHEMA shop TO clerk`)
	cfg, err := pgx.ParseConfig(r.url)
	require.NoError(t, err)
	pool := localtest.Pool(t,
		"postgres://clerk:clerk@"+net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))+"/"+cfg.Database)
	for _, grant := range []string{
		"GRANT UPDATE ON shop.items TO clerk;", "GRANT UPDATE ON shop.tariffs TO clerk;",
		"GRANT INSERT ON shop.items TO clerk;", "GRANT INSERT ON shop.tariffs TO clerk;",
	} {
		_, err := r.open(pool)
		require.ErrorContains(t, err, "run `"+grant+"`")
		r.exec(grant)
	}
	r.exec(`CREATE SCHEMA archive`)
	r.exec(`CREATE TABLE archive.items (LIKE shop.items)`)
	//nolint:unqueryvet // the tables are alike by LIKE
	r.queries.WriteBack.Product = `WITH kept AS (INSERT INTO archive.items SELECT * FROM shop.items WHERE sku = @id RETURNING sku)
		UPDATE shop.items i SET blurb = @description FROM kept WHERE i.sku = kept.sku`
	_, err = r.open(pool)
	require.ErrorContains(t, err,
		"run `GRANT USAGE ON SCHEMA archive TO clerk; GRANT SELECT, INSERT ON archive.items TO clerk;`")
	r.exec(`GRANT USAGE ON SCHEMA archive TO clerk`)
	r.exec(`GRANT SELECT, INSERT ON archive.items TO clerk`)
	w, err := r.open(pool)
	require.NoError(t, err)
	// This right is revoked after the start.
	command := r.command("mug", func(p *catalogv1.Product) { p.Description = "Stripe's" }, "description")
	r.exec(`REVOKE UPDATE ON shop.items FROM clerk`)
	require.Contains(t, r.mustFail(w, command).Message, "run `GRANT UPDATE ON shop.items TO clerk;`")
	r.exec(`GRANT UPDATE ON shop.items TO clerk`)
	require.Equal(t, writeback.Written, r.write(w, command))
}

func TestNew_RefusesWrongStatementWithFix(t *testing.T) {
	r := newShop(t)
	right := r.queries.WriteBack
	for name, c := range map[string]struct {
		product, price string
		want           []string
	}{
		"unknown parameter": {
			product: `UPDATE shop.items SET title = @names WHERE sku = @id`,
			want:    []string{"catalog.write_back.product", "@names", `did you mean "name"?`},
		},
		"column not returned": {
			product: `UPDATE shop.items SET note = @unit_label WHERE sku = @id`,
			want:    []string{"products query does not return unit_label", "add that column"},
		},
		"no id": {
			price: `UPDATE shop.tariffs SET label = @nickname`,
			want:  []string{"catalog.write_back.price does not use @id", "one price"},
		},
		"id in a comment": {
			price: `UPDATE shop.tariffs SET label = @nickname /* WHERE code = @id */`,
			want:  []string{"does not use @id"},
		},
		"syntax": {
			product: `UPDATE shop.items SET title @name WHERE sku = @id`,
			want:    []string{"catalog.write_back.product is refused by Postgres", "syntax error"},
		},
		"two statements": {
			product: `UPDATE shop.items SET title = @name WHERE sku = @id; SELECT 1`,
			want:    []string{"multiple commands"},
		},
		"missing table": {
			product: `UPDATE shop.products SET title = @name WHERE sku = @id`,
			want:    []string{`"shop.products" does not exist`},
		},
		"missing column": {
			product: `UPDATE shop.items SET titel = @name WHERE sku = @id`,
			want:    []string{`column "titel"`},
		},
		"unclear type": {
			product: `UPDATE shop.items SET tags = jsonb_build_object('title', @name) WHERE sku = @id`,
			want:    []string{"parameter @name", "@name::text"},
		},
		"wrong type": {
			product: `UPDATE shop.items SET title = @name, blurb = @active + 1 WHERE sku = @id`,
			want:    []string{"boolean + integer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.queries.WriteBack = right
			if c.product != "" {
				r.queries.WriteBack.Product = c.product
			}
			if c.price != "" {
				r.queries.WriteBack.Price = c.price
			}
			_, err := r.open(r.pool)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestNew_AcceptsAnySQLStatement(t *testing.T) {
	for name, statement := range map[string]string{
		"a function":  `SELECT shop.describe(@id, @description)`,
		"a procedure": `CALL shop.note(@id, @description)`,
		"a with":      `WITH i AS (SELECT sku FROM shop.items WHERE sku = @id FOR UPDATE) UPDATE shop.items SET blurb = @description FROM i WHERE items.sku = i.sku`,
		"a structure": `UPDATE shop.items SET blurb = coalesce(@metadata->>'none', @description), note = '@metadata' WHERE sku = @id`,
	} {
		t.Run(name, func(t *testing.T) {
			r := newShop(t)
			r.exec(`CREATE FUNCTION shop.describe(text, text) RETURNS void LANGUAGE sql AS $$ UPDATE shop.items SET blurb = $2 WHERE sku = $1 $$`)
			r.exec(`CREATE PROCEDURE shop.note(text, text) LANGUAGE sql AS $$ UPDATE shop.items SET blurb = $2 WHERE sku = $1 $$`)
			r.queries.WriteBack.Product = statement
			require.Equal(t, writeback.Written,
				r.write(r.writer(),
					r.command("mug", func(p *catalogv1.Product) { p.Description = "Stripe's" }, "description")))
			require.Equal(t, "Stripe's", r.value(`SELECT blurb FROM shop.items WHERE sku = 'mug'`))
		})
	}
}

func TestWrite_ReturnsTemporaryErrorsAsErrors(t *testing.T) {
	r := newShop(t)
	w := r.writer()
	command := r.command("mug", func(p *catalogv1.Product) { p.Description = "Stripe's" }, "description")
	t.Run("a connection that breaks", func(t *testing.T) {
		r.exec(`CREATE FUNCTION shop.sever() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$`)
		r.exec(`CREATE TRIGGER sever BEFORE UPDATE ON shop.items FOR EACH ROW EXECUTE FUNCTION shop.sever()`)
		_, err := w.Write(t.Context(), command)
		var failure *writeback.Failure
		require.Error(t, err)
		require.NotErrorAs(t, err, &failure)
		r.exec(`DROP TRIGGER sever ON shop.items`)
		require.Equal(t, writeback.Written, r.write(w, command))
	})
	t.Run("a locked row", func(t *testing.T) {
		tx := r.beginTx()
		_, err := tx.Exec(t.Context(), `SELECT FROM shop.items WHERE sku = 'cup' FOR UPDATE`)
		require.NoError(t, err)
		held := r.command("cup", func(p *catalogv1.Product) { p.Description = "Stripe's" }, "description")
		_, err = w.Write(t.Context(), held)
		var failure *writeback.Failure
		require.ErrorContains(t, err, "lock timeout")
		require.NotErrorAs(t, err, &failure)
		require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context())))
		require.Equal(t, writeback.Written, r.write(w, held))
	})
}
