// Package config is the one schema of settings: every setting is a field here, and is thereby a flag, an environment
// variable and a key of the YAML file. A flag overrides the environment, that overrides the file, and that the
// default. Mapping, which is too large for flags, is in the file only, and so are the settings of several accounts, of
// which a service takes those of its own.
//
// It reads settings and checks their form; whether a server answers is for the services to find out.
package config
