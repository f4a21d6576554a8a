// Package browser tests the console's pages in Chromium, on a whole mesh.
package browser
