package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/driftless-sync/driftless/services/internal/doctor"
)

func (cmd *doctorCmd) print(c *cli, reports []accountReport) error {
	if c.Output == "json" {
		return printJSON(doctorAnswer{Accounts: reports})
	}
	for i, r := range reports {
		if len(reports) > 1 {
			if i > 0 {
				say(stdout)
			}
			sayf(stdout, "account %s\n\n", r.Account)
		}
		printReport(stdout, r.Report, cmd.All)
	}
	return nil
}

// printReport prints the findings, then what was not looked at, then a line for each group.
func printReport(w io.Writer, r doctor.Report, all bool) {
	for _, f := range r.Findings {
		in := careful
		if f.Severity == doctor.Error {
			in = bad
		}
		sayf(w, "%s %s: %s\n  why: %s\n  fix: %s\n", in.paint(string(f.Severity)), f.ID, lines(f.Message), f.Why,
			lines(f.Fix))
		if f.By != "" && f.At != nil {
			sayf(w, "  found by: %s, %s\n", f.By, ago(timestamppb.New(*f.At)))
		}
		if f.Proposed != "" {
			sayf(w, "  its process says: %s\n", lines(f.Proposed))
		}
		say(w)
	}
	if len(r.NotLooked) > 0 {
		sayf(w, "%s\n", careful.paint("Not looked at:"))
		printTable(w, notLookedRows(r.NotLooked)...)
		say(w)
	}
	if all {
		rows := make([][]string, len(r.Fine))
		for i, f := range r.Fine {
			rows[i] = fineRow(f)
		}
		printTable(w, rows...)
		say(w)
	}
	printGroups(w, r)
	sayf(w, "%s: %d fine, %s, %d not looked at",
		countOf(len(r.Fine)+len(r.NotLooked)+faulty(r), "check", "checks"), len(r.Fine),
		countOf(len(r.Findings), "finding", "findings"), len(r.NotLooked))
	if len(r.Skipped) > 0 {
		sayf(w, ", %d skipped", len(r.Skipped))
	}
	say(w, ".")
}

// fineRow says what a check saw and, if a service looked, when.
func fineRow(f doctor.Fine) []string {
	row := []string{f.ID, "fine", f.Saw}
	switch {
	case f.At != nil:
		return append(row, ago(timestamppb.New(*f.At)))
	case f.Saw == "":
		return row[:2]
	}
	return row
}

// notLookedRows has a row for each reason in each group.
func notLookedRows(all []doctor.NotLooked) (rows [][]string) {
	const named = 2
	ids := map[string][]string{}
	key := func(n doctor.NotLooked) string { return doctor.GroupOf(n.ID) + " " + n.Reason }
	for _, n := range all {
		ids[key(n)] = append(ids[key(n)], n.ID)
	}
	for _, n := range all {
		same := ids[key(n)]
		if len(same) == 0 {
			continue
		}
		delete(ids, key(n))
		label := strings.Join(same, ", ")
		if len(same) > named {
			label = fmt.Sprintf("%s (%s)", doctor.GroupOf(n.ID), countOf(len(same), "check", "checks"))
		}
		rows = append(rows, []string{"  " + label, n.Reason})
	}
	return rows
}

// faulty counts the checks that have findings.
func faulty(r doctor.Report) int {
	ids := map[string]bool{}
	for _, f := range r.Findings {
		ids[f.ID] = true
	}
	return len(ids)
}

// printGroups prints how the checks of each group went.
func printGroups(w io.Writer, r doctor.Report) {
	type counts struct{ fine, findings, notLooked int }
	by := map[string]*counts{}
	at := func(id string) *counts {
		group := doctor.GroupOf(id)
		if by[group] == nil {
			by[group] = &counts{}
		}
		return by[group]
	}
	for _, f := range r.Fine {
		at(f.ID).fine++
	}
	for _, f := range r.Findings {
		at(f.ID).findings++
	}
	for _, n := range r.NotLooked {
		at(n.ID).notLooked++
	}
	rows := [][]string{{"GROUP", "FINE", "FINDINGS", "NOT LOOKED AT"}}
	for _, group := range doctor.Groups() {
		if c := by[group]; c != nil {
			rows = append(rows,
				[]string{group, strconv.Itoa(c.fine), strconv.Itoa(c.findings), strconv.Itoa(c.notLooked)})
		}
	}
	printTable(w, rows...)
	say(w)
}
