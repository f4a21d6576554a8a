module github.com/driftless-sync/driftless/scripts/tools/prose

go 1.26
