package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// ProductCheck is a check of the operator: a query that finds products which must not go to Stripe as they are.
type ProductCheck struct {
	// Name is part of messages, metrics and the rule of the guard, check:NAME.
	Name string `yaml:"name"`
	// Query returns the ids of the products that violate the check, and as a second column, if there is one, a detail
	// for the message.
	Query string `yaml:"query"`
	// Message says what is wrong with such a product.
	Message string `yaml:"message"`
	// Severity is SeverityHold or SeverityRefuse. Defaults to SeverityHold.
	Severity string `yaml:"severity"`
	// OnError is what happens to a product for which the query fails: OnErrorIgnore or OnErrorHold. Defaults to
	// OnErrorIgnore.
	OnError string `yaml:"on_error"`
}

const (
	// SeverityHold means that push holds the product until an approval.
	SeverityHold = "hold"
	// SeverityRefuse means that the product becomes a dead letter.
	SeverityRefuse = "refuse"
	// OnErrorIgnore means that a query that fails finds nothing.
	OnErrorIgnore = "ignore"
	// OnErrorHold means that a product for which the query fails is held.
	OnErrorHold = "hold"
)

const (
	// maxChecks bounds the time that checks add to each read, and the values of a metric's label.
	maxChecks = 50
	// maxCheckMessage is the maximum length of a message in bytes. Every violation repeats it.
	maxCheckMessage = 500
)

var checkName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// Refuses reports whether a product that violates the check becomes a dead letter.
func (c ProductCheck) Refuses() bool { return c.Severity == SeverityRefuse }

// HoldsOnError reports whether a product for which the query fails is held.
func (c ProductCheck) HoldsOnError() bool { return c.OnError == OnErrorHold }

// fault returns the key that is wrong, and why. The message is empty if nothing is.
func (c ProductCheck) fault() (key, message string) {
	switch {
	case c.Name == "":
		return "name", "must be set, for example to margin"
	case !checkName.MatchString(c.Name):
		return "name", fmt.Sprintf("must be 1 to 40 lower-case letters, digits, - and _, not %q", c.Name)
	case strings.Trim(c.Query, "; \n\t") == "":
		return "query", "must be a query that returns the ids of the products that violate the check"
	case strings.TrimSpace(c.Message) == "":
		return "message", "must say what is wrong with a product that violates the check"
	case len(c.Message) > maxCheckMessage:
		return "message", fmt.Sprintf("must have at most %d bytes", maxCheckMessage)
	case c.Severity != "" && c.Severity != SeverityHold && c.Severity != SeverityRefuse:
		return "severity", fmt.Sprintf("must be %s or %s, not %q", SeverityHold, SeverityRefuse, c.Severity)
	case c.OnError != "" && c.OnError != OnErrorIgnore && c.OnError != OnErrorHold:
		return "on_error", fmt.Sprintf("must be %s or %s, not %q", OnErrorIgnore, OnErrorHold, c.OnError)
	}
	return "", ""
}

// checkChecks returns an error for the first fault of the operator's checks, with its position in the file.
func (c *catalogEntry) checkChecks(checks []ProductCheck) error {
	seen := map[string]int{}
	for i, check := range checks {
		key, message := check.fault()
		if first, ok := seen[check.Name]; ok && message == "" {
			key, message = "name", fmt.Sprintf("%q is also the name of checks[%d]: each check needs its own", check.Name,
				first)
		}
		if i == maxChecks && message == "" {
			message = fmt.Sprintf("there may be at most %d checks", maxChecks)
		}
		seen[check.Name] = i
		if message == "" {
			continue
		}
		path := fmt.Sprintf("catalog: checks[%d]", i)
		if key != "" {
			path += "." + key
		}
		return fmt.Errorf("%s: %s: %s", c.positionOf(i, key), path, message)
	}
	return nil
}

// positionOf returns the position of a key of a check, of the check if it lacks the key, else of the catalog.
func (c *catalogEntry) positionOf(index int, key string) string {
	entry := entryOf(c.node.Values, "checks")
	if entry == nil {
		return c.at
	}
	list, ok := entry.Value.(*ast.SequenceNode)
	if !ok || index >= len(list.Values) {
		return position(c.path, entry.Key.GetToken())
	}
	var entries []*ast.MappingValueNode
	switch item := list.Values[index].(type) {
	case *ast.MappingNode:
		entries = item.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{item}
	}
	if e := entryOf(entries, key); e != nil {
		return position(c.path, e.Key.GetToken())
	}
	if len(entries) > 0 {
		return position(c.path, entries[0].Key.GetToken())
	}
	return position(c.path, list.Values[index].GetToken())
}
