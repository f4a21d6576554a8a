package proposal

import (
	"fmt"
	"slices"
	"strings"
)

// generatedColumnsVersion is the first version of Postgres that can publish generated columns.
const generatedColumnsVersion = 180000

func (p *proposer) role() string {
	if p.answers.Role != "" {
		return p.answers.Role
	}
	return "driftless"
}

// publication returns the name that ingestion uses for the account.
func (p *proposer) publication() string {
	if a := p.answers.Account; a != "" && a != "default" {
		return "driftless_" + strings.ReplaceAll(a, "-", "_")
	}
	return "driftless"
}

// renderSQL returns the statements that make a role with the least privileges, and what capture needs.
func (p *proposer) renderSQL() string {
	var b strings.Builder
	role := ident(p.role())
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("-- The least that Driftless needs. Run it once, as the owner of the tables who may create roles, or as a superuser.")
	line("-- `driftless config check --database` says what is missing.")
	line("")
	if p.db.WALLevel != "logical" {
		line("-- The log must have the rows. Restart Postgres afterwards. On a managed service it is a setting of the server.")
		line("ALTER SYSTEM SET wal_level = logical;")
		line("")
	}
	if slices.Contains(p.db.Roles, p.role()) {
		line("ALTER ROLE %s LOGIN REPLICATION;", role)
	} else {
		line("CREATE ROLE %s LOGIN REPLICATION;", role)
		line(`-- Set its password in psql, which keeps it out of logs: \password %s`, role)
	}
	line("GRANT CONNECT ON DATABASE %s TO %s;", ident(p.db.Name), role)
	tables := p.readTables()
	var schemas []string
	for _, t := range tables {
		if !slices.Contains(schemas, t.Schema) {
			schemas = append(schemas, t.Schema)
		}
	}
	line("GRANT USAGE ON SCHEMA %s TO %s;", strings.Join(idents(schemas), ", "), role)
	line("GRANT SELECT ON %s TO %s;", strings.Join(tableNames(tables), ", "), role)
	if slices.ContainsFunc(tables, func(t *Table) bool { return t.RowSecurity }) {
		line("-- Row level security would hide rows, and hidden products would count as deleted.")
		line("ALTER ROLE %s BYPASSRLS;", role)
	}
	p.renderIdentities(line)
	p.renderPublication(line)
	line("")
	line("-- The ledger has its own schema. Leave this out if LEDGER_DATABASE_URL names a database of its own.")
	line("CREATE SCHEMA IF NOT EXISTS driftless_ledger;")
	line("GRANT ALL ON SCHEMA driftless_ledger TO %s;", role)
	return b.String()
}

// readTables returns the tables that the queries read.
func (p *proposer) readTables() []*Table {
	out := slices.Clone(p.productsQuery.order)
	if p.pricesQuery != nil {
		for _, t := range p.pricesQuery.order {
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

func tableNames(tables []*Table) (out []string) {
	for _, t := range tables {
		out = append(out, t.sql())
	}
	return out
}

func (p *proposer) watchedTables() (out []*Table) {
	for _, w := range p.out.Watch {
		out = append(out, w.table)
	}
	return out
}

// renderIdentities makes the log have what watch needs of a row that is changed or deleted.
func (p *proposer) renderIdentities(line func(string, ...any)) {
	isFirst := true
	for _, w := range p.out.Watch {
		lacks := slices.ContainsFunc(w.columns, func(c string) bool {
			return !slices.Contains(w.table.IdentityColumns, c)
		})
		if w.table.Identity == "f" || !lacks && len(w.table.IdentityColumns) > 0 {
			continue
		}
		if isFirst {
			line("")
			line("-- The log must say which product a row belonged to before it was changed or deleted.")
			isFirst = false
		}
		line("ALTER TABLE %s REPLICA IDENTITY FULL;", w.table.sql())
	}
}

func (p *proposer) renderPublication(line func(string, ...any)) {
	tables := strings.Join(tableNames(p.watchedTables()), ", ")
	name := ident(p.publication())
	line("")
	if slices.Contains(p.db.Publications, p.publication()) {
		line("-- The publication %s exists. It must have these tables; leave out those that it has.", p.publication())
		line("-- ALTER PUBLICATION %s ADD TABLE %s;", name, tables)
		return
	}
	options := "publish_via_partition_root = true"
	if p.db.Version >= generatedColumnsVersion {
		options += ", publish_generated_columns = stored"
	}
	line("CREATE PUBLICATION %s FOR TABLE %s\n  WITH (%s);", name, tables, options)
}
