package engine

// Execute runs one command and returns its response, at any locality and for
// any bytes. It never returns an empty response.
func (d *Device) Execute(locality uint8, command []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cancelled.Store(false)
	resp := d.Cfg.Dispatcher.Execute(d, locality, command)
	d.forget()
	return resp
}
