package abi

// Operations of EventChannelOp (public/event_channel.h).
const (
	EvtchnBindInterdomain = 0
	EvtchnBindVirq        = 1
	EvtchnClose           = 3
	EvtchnSend            = 4
	EvtchnAllocUnbound    = 6
	EvtchnUnmask          = 9

	VirqTimer = 0 // public/xen.h
)

// AllocUnbound is struct evtchn_alloc_unbound.
type AllocUnbound struct {
	Dom       uint16
	RemoteDom uint16
	Port      uint32 // out
}

// BindInterdomain is struct evtchn_bind_interdomain.
type BindInterdomain struct {
	RemoteDom  uint16
	_          uint16
	RemotePort uint32
	LocalPort  uint32 // out
}

// BindVirq is struct evtchn_bind_virq.
type BindVirq struct {
	Virq uint32
	Vcpu uint32
	Port uint32 // out
}

// EvtchnPort is struct evtchn_close, evtchn_send and evtchn_unmask.
type EvtchnPort struct {
	Port uint32
}
