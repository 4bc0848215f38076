package tpmtest

import (
	"fmt"
	"reflect"
	"strings"

	"stubtpm/vtpm/tcg"
)

// Raw are bytes that stand for a parameter as they are, right or wrong.
type Raw []byte

// Encode returns the wire form of a command's parameters, by their types in
// Part 3's table:
//
//   - a number or a bool has the size that its type there has;
//   - []byte and string are the content of a TPM2B;
//   - what package tcg can marshal is itself, or the content of a TPM2B;
//   - nil is the empty value: a TPM2B or list without content, TPM_ALG_NULL,
//     TPM_RH_NULL, a NULL ticket, zero;
//   - Raw is itself. As the last value it may stand for any number of parameters.
func Encode(spec *tcg.CommandSpec, values []any) ([]byte, error) {
	var w tcg.Writer
	for i, v := range values {
		if raw, ok := v.(Raw); ok {
			w.Bytes(raw)
			continue
		}
		if i >= len(spec.Params) {
			return nil, fmt.Errorf("%d parameters, not %d", len(values), len(spec.Params))
		}
		p := spec.Params[i]
		if err := encode(&w, strings.TrimSuffix(p.Type, "+"), v); err != nil {
			return nil, fmt.Errorf("parameter %d, %s %s: %w", i+1, p.Type, p.Name, err)
		}
	}
	if n := len(values); n < len(spec.Params) {
		if n == 0 {
			return nil, fmt.Errorf("no parameters, not %d", len(spec.Params))
		}
		if _, ok := values[n-1].(Raw); !ok {
			return nil, fmt.Errorf("%d parameters, not %d", n, len(spec.Params))
		}
	}
	return w.B, nil
}

func encode(w *tcg.Writer, typ string, v any) error {
	sized := strings.HasPrefix(typ, "TPM2B_")
	switch v := v.(type) {
	case nil:
		w.Bytes(empty(typ))
		return nil
	case []byte:
		if !sized {
			return fmt.Errorf("bytes are for a TPM2B, or Raw")
		}
		w.Sized(v)
		return nil
	case string:
		return encode(w, typ, []byte(v))
	}
	r := reflect.ValueOf(v)
	if n := width(typ); n != 0 {
		u, ok := number(r)
		if !ok {
			return fmt.Errorf("%T is no number", v)
		}
		for n--; n >= 0; n-- {
			w.Uint8(byte(u >> (8 * n)))
		}
		return nil
	}
	m, ok := v.(tcg.Marshaler)
	if !ok {
		p := reflect.New(r.Type())
		p.Elem().Set(r)
		if m, ok = p.Interface().(tcg.Marshaler); !ok {
			return fmt.Errorf("%T has no wire form", v)
		}
	}
	if sized {
		w.Nested(m.Marshal)
	} else {
		m.Marshal(w)
	}
	return nil
}

// width returns the size in bytes of a type that is a number, and 0 for others.
func width(typ string) int {
	switch typ {
	case "UINT8", "BYTE", "TPM_SE", "TPM_CLOCK_ADJUST", "TPMI_YES_NO", "TPMA_LOCALITY":
		return 1
	case "UINT16", "TPM_SU", "TPM_EO", "TPMI_ECC_CURVE", "TPMI_ECC_KEY_EXCHANGE":
		return 2
	case "UINT64":
		return 8
	}
	switch {
	case strings.HasPrefix(typ, "TPMI_ALG_"):
		return 2
	case strings.HasPrefix(typ, "TPMI_"), strings.HasPrefix(typ, "TPM_"), typ == "UINT32", typ == "INT32":
		return 4
	}
	return 0
}

func number(v reflect.Value) (uint64, bool) {
	switch {
	case v.CanInt():
		return uint64(v.Int()), true
	case v.CanUint():
		return v.Uint(), true
	case v.Kind() == reflect.Bool && v.Bool():
		return 1, true
	}
	return 0, v.Kind() == reflect.Bool
}

// empty returns what nil stands for.
func empty(typ string) []byte {
	ticket := func(tag tcg.TPMST) []byte {
		return tcg.Marshal(&tcg.TPMTTk{Tag: tag, Hierarchy: tcg.TPMRHNull})
	}
	switch typ {
	case "TPMT_TK_HASHCHECK":
		return ticket(tcg.TPMSTHashCheck)
	case "TPMT_TK_VERIFIED":
		return ticket(tcg.TPMSTVerified)
	case "TPMT_TK_CREATION":
		return ticket(tcg.TPMSTCreation)
	case "TPMT_TK_AUTH":
		return ticket(tcg.TPMSTAuthSecret)
	}
	switch {
	case strings.HasPrefix(typ, "TPMI_ALG_"):
		return []byte{0, byte(tcg.TPMAlgNull)}
	case strings.HasPrefix(typ, "TPMI_DH_"), strings.HasPrefix(typ, "TPMI_RH_"):
		return tcg.Marshal(tcg.TPMHandle(tcg.TPMRHNull))
	case width(typ) != 0:
		return make([]byte, width(typ))
	case strings.HasPrefix(typ, "TPM2B_"):
		return []byte{0, 0}
	case strings.HasPrefix(typ, "TPML_"):
		return []byte{0, 0, 0, 0}
	}
	return []byte{0, byte(tcg.TPMAlgNull)}
}
