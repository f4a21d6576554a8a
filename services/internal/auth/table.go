package auth

import (
	"github.com/driftless-sync/driftless/proto/driftless/control/v1/controlv1connect"
	"github.com/driftless-sync/driftless/proto/driftless/ingest/v1/ingestv1connect"
)

// Control are the rules of the control API.
var Control = Rules{
	controlv1connect.ControlServiceGetStatusProcedure:        {Role: Read},
	controlv1connect.ControlServicePlanProcedure:             {Role: Read},
	controlv1connect.ControlServiceListProductsProcedure:     {Role: Read},
	controlv1connect.ControlServiceListAdoptionsProcedure:    {Role: Read},
	controlv1connect.ControlServiceGetScanProcedure:          {Role: Read},
	controlv1connect.ControlServiceExplainProcedure:          {Role: Read},
	controlv1connect.ControlServiceListHistoryProcedure:      {Role: Read},
	controlv1connect.ControlServiceListStatesProcedure:       {Role: Read},
	controlv1connect.ControlServiceDiffStatesProcedure:       {Role: Read},
	controlv1connect.ControlServiceListDriftProcedure:        {Role: Read},
	controlv1connect.ControlServiceListDeadLettersProcedure:  {Role: Read},
	controlv1connect.ControlServiceGetDeadLettersProcedure:   {Role: Read},
	controlv1connect.ControlServiceListProcessesProcedure:    {Role: Read},
	controlv1connect.ControlServiceListRetriesProcedure:      {Role: Read},
	controlv1connect.ControlServiceListActivityProcedure:     {Role: Read},
	controlv1connect.ControlServiceWhoAmIProcedure:           {Role: Read},
	controlv1connect.ControlServiceSearchProductsProcedure:   {Role: Read},
	controlv1connect.ControlServiceCountProductsProcedure:    {Role: Read},
	controlv1connect.ControlServiceGroupDeadLettersProcedure: {Role: Read},
	controlv1connect.ControlServiceGetPriceChainProcedure:    {Role: Read},

	controlv1connect.ControlServicePlanAdoptionProcedure: {Role: Read},
	controlv1connect.ControlServiceGetSettingsProcedure:  {Role: Read},
	controlv1connect.ControlServiceGetFindingsProcedure:  {Role: Read},

	controlv1connect.ControlServiceApplyAdoptionProcedure:     {Role: Operate, DryRun: true},
	controlv1connect.ControlServiceSyncProductsProcedure:      {Role: Operate},
	controlv1connect.ControlServiceAdoptProductsProcedure:     {Role: Operate},
	controlv1connect.ControlServicePauseProcedure:             {Role: Operate},
	controlv1connect.ControlServiceResumeProcedure:            {Role: Operate},
	controlv1connect.ControlServiceRereadProcedure:            {Role: Operate},
	controlv1connect.ControlServiceStartScanProcedure:         {Role: Operate},
	controlv1connect.ControlServiceRollbackProcedure:          {Role: Operate, DryRun: true},
	controlv1connect.ControlServiceIgnoreDriftProcedure:       {Role: Operate},
	controlv1connect.ControlServiceResolveDriftProcedure:      {Role: Operate},
	controlv1connect.ControlServiceReplayDeadLettersProcedure: {Role: Operate},
	controlv1connect.ControlServiceDropDeadLettersProcedure:   {Role: Operate},
	controlv1connect.ControlServiceTestNotificationProcedure:  {Role: Operate},

	controlv1connect.ControlServiceApproveProcedure: {Role: Approve},
	controlv1connect.ControlServiceRejectProcedure:  {Role: Approve},
}

// Ingest are the rules of the ingestion API.
var Ingest = Rules{
	ingestv1connect.IngestServiceWaitCapturedProcedure: {Role: Read},
	ingestv1connect.IngestServiceReadProductsProcedure: {Role: Read},

	ingestv1connect.IngestServiceUpsertProductsProcedure:  {Role: Operate},
	ingestv1connect.IngestServiceArchiveProductsProcedure: {Role: Operate},
}
