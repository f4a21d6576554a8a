// Package e2e is for the tests of the whole mesh beside this file, which look at it from outside; there is nothing else
// in it.
package e2e
