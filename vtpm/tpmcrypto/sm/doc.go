// Package sm implements the hash algorithm SM3 (GB/T 32905-2016) and the block
// cipher SM4 (GB/T 32907-2016), which the standard library lacks.
//
// Both run in constant time: neither looks anything up in a table.
package sm
