// Package e2e exists for its tests, which test the whole mesh from outside. It has no other code.
package e2e
