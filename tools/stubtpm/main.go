// Stubtpm is the command line of this project: it runs the TPM 2.0 device as
// a Linux process.
//
// Synopsis:
//
//	stubtpm serve --state DIR [options]
//	stubtpm socket [swtpm's options]
//	stubtpm help [command]
//
// Exit codes: 0 done, 1 failed, 2 wrong use.
package main

import "os"

func main() { os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr)) }
