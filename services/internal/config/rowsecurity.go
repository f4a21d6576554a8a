package config

// Values of Mapping.RowSecurity.
const (
	// RowSecurityRefuse makes ingestion refuse tables with row level security for its role.
	RowSecurityRefuse = "refuse"
	// RowSecurityAllow states that the role's policies show it every row.
	RowSecurityAllow = "allow"
)
