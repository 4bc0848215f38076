package abi

// Offsets in bytes in the page of the console ring (public/io/console.h).
const (
	ConsoleIn      = 0
	ConsoleInSize  = 1024
	ConsoleOut     = 1024
	ConsoleOutSize = 2048
	ConsoleInCons  = 3072
	ConsoleInProd  = 3076
	ConsoleOutCons = 3080
	ConsoleOutProd = 3084
)

// Offsets in bytes in the page of the xenstore ring (public/io/xs_wire.h).
const (
	StoreRingSize = 1024
	StoreReq      = 0
	StoreRsp      = 1024
	StoreReqCons  = 2048
	StoreReqProd  = 2052
	StoreRspCons  = 2056
	StoreRspProd  = 2060
)
