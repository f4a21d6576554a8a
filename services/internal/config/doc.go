// Package config is the one schema of settings. Each setting is a field here, and so a flag, an environment variable
// and a key of the YAML file. A flag overrides the environment, the environment overrides the file, and the file
// overrides the default. The mapping, which is too large for flags, is only in the file. So are the settings of several
// accounts: a service reads those of its own account.
//
// The package reads settings and checks their form. It asks no server.
package config
