package tpmif

import "stubtpm/drivers/xen"

// Raw returns the shared page and its event channel, for programs that attack a
// backend to test it. The caller must call Reopen before the next Transact.
//
// Preconditions: no Transact is in progress.
func (f *Frontend) Raw() (*xen.Page, xen.Channel) { return f.front.Ring.Page(), f.front.Channel }
