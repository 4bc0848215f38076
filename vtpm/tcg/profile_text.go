package tcg

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxProfileText is the size in bytes of the longest text that ParseProfile
// takes.
const MaxProfileText = 16 << 10

// ParseProfile reads the text form of a profile. Each line is empty, a comment
// that begins with "#", or "key = words", the words with commas between them
// and each key once:
//
//	base        one of ProfileNames; only as the first line. What follows is
//	            added to it, and taken away where a "-" is before the word.
//	            Without a base a profile begins empty.
//	algorithms  rsa, sha256, ecdsa, ...
//	curves      p256, bn256, ...
//	rsa, aes, camellia, tdes, sm4
//	            key sizes in bits
//	mlkem, mldsa
//	            parameter sets: 512, 768, 1024; 44, 65, 87
//	banks       the PCR banks in the order of their report: replaces the base's
//	commands    names as in Part 3, TPM2_ before them or not; all is all of them
//	nv-index    the size in bytes of the largest NV index, 2048 to 16384
//
// What it does not know, or is there twice, is an error that tells the line.
// The profile is checked by Check.
func ParseProfile(text []byte) (*Profile, error) {
	if len(text) > MaxProfileText {
		return nil, fmt.Errorf("tcg: profile: longer than %d bytes", MaxProfileText)
	}
	p := profileParser{Profile: new(Profile), seen: map[string]bool{}}
	p.SetAlg(TPMAlgNull, true)
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := p.line(line); err != nil {
			return nil, fmt.Errorf("tcg: profile: line %d: %w", i+1, err)
		}
	}
	if err := p.Check(); err != nil {
		return nil, err
	}
	return p.Profile, nil
}

type profileParser struct {
	*Profile
	seen map[string]bool // keys that were there
}

func (p *profileParser) line(line string) error {
	key, value, ok := strings.Cut(line, "=")
	key = strings.TrimSpace(key)
	if !ok {
		return fmt.Errorf("%q is not \"key = words\"", key)
	}
	if p.seen[key] {
		return fmt.Errorf("%q is there twice", key)
	}
	words := strings.Split(value, ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
		if words[i] == "" {
			return fmt.Errorf("%s: a word is missing", key)
		}
	}
	if key == "base" {
		return p.base(words)
	}
	p.seen[key] = true
	switch key {
	case "banks":
		return p.setBanks(words)
	case "nv-index":
		return p.setNVIndex(words)
	}
	set, ok := map[string]func(string, bool) error{
		"algorithms": p.setAlg,
		"curves":     p.setCurve,
		"commands":   p.setCommand,
		"rsa":        p.setRSA,
		"aes":        p.setSym(TPMAlgAES),
		"camellia":   p.setSym(TPMAlgCamellia),
		"tdes":       p.setSym(TPMAlgTDES),
		"sm4":        p.setSym(TPMAlgSM4),
		"mlkem":      p.setML(TPMAlgMLKEM, mlkemWords[:]),
		"mldsa":      p.setML(TPMAlgMLDSA, mldsaWords[:]),
	}[key]
	if !ok {
		return fmt.Errorf("unknown key %q", key)
	}
	named := map[string]bool{}
	for _, w := range words {
		name, off := strings.CutPrefix(w, "-")
		if named[name] {
			return fmt.Errorf("%s: %q is there twice", key, name)
		}
		named[name] = true
		if err := set(name, !off); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func (p *profileParser) base(words []string) error {
	if len(p.seen) != 0 {
		return fmt.Errorf("base is not the first line")
	}
	p.seen["base"] = true
	b := NamedProfile(words[0])
	if b == nil || len(words) != 1 {
		return fmt.Errorf("base is one of %s", strings.Join(ProfileNames(), ", "))
	}
	*p.Profile = *b
	return nil
}

func unknownWord(name string) error { return fmt.Errorf("unknown word %q", name) }

func (p *profileParser) setAlg(name string, on bool) error {
	a, ok := find(algWords[:], name)
	if !ok {
		return unknownWord(name)
	}
	p.SetAlg(a, on)
	return nil
}

func (p *profileParser) setML(a TPMAlgID, words []word[uint16]) func(string, bool) error {
	return func(name string, on bool) error {
		set, ok := find(words, name)
		if !ok {
			return unknownWord(name)
		}
		p.SetMLSet(a, set, on)
		return nil
	}
}

func (p *profileParser) setCurve(name string, on bool) error {
	c, ok := find(curveWords[:], name)
	if !ok {
		return unknownWord(name)
	}
	p.SetCurve(c, on)
	return nil
}

func (p *profileParser) setCommand(name string, on bool) error {
	if name == "all" {
		for cc := TPMCCFirst; cc <= TPMCCLast; cc++ {
			p.SetCommand(cc, on)
		}
		return nil
	}
	cc, ok := commandByName(name)
	if !ok {
		return unknownWord(name)
	}
	p.SetCommand(cc, on)
	return nil
}

// size reads one of the sizes that bits has.
func size(name string, has func(int) bool) (int, error) {
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil || !has(int(n)) || strconv.FormatUint(n, 10) != name {
		return 0, fmt.Errorf("no keys of %q bits", name)
	}
	return int(n), nil
}

func (p *profileParser) setRSA(name string, on bool) error {
	n, err := size(name, (*Profile)(nil).RSABits)
	if err == nil {
		p.SetRSABits(n, on)
	}
	return err
}

func (p *profileParser) setSym(a TPMAlgID) func(string, bool) error {
	return func(name string, on bool) error {
		n, err := size(name, func(n int) bool { return (*Profile)(nil).SymBits(a, n) })
		if err == nil {
			p.SetSymBits(a, n, on)
		}
		return err
	}
}

func (p *profileParser) setBanks(words []string) error {
	var banks []TPMAlgID
	for _, w := range words {
		a, ok := find(algWords[:], w)
		if !ok || !a.IsHash() {
			return fmt.Errorf("banks: %q is no hash algorithm", w)
		}
		banks = append(banks, a)
	}
	if len(banks) > HashCount {
		return fmt.Errorf("banks: more than %d", HashCount)
	}
	p.SetPCRBanks(banks...)
	return nil
}

func (p *profileParser) setNVIndex(words []string) error {
	n, err := strconv.ParseUint(words[0], 10, 16)
	if err != nil || len(words) != 1 || strconv.FormatUint(n, 10) != words[0] || n < defaultNVIndexSize || n > MaxNVIndexSize {
		return fmt.Errorf("nv-index: not one size of %d to %d bytes", defaultNVIndexSize, MaxNVIndexSize)
	}
	p.SetNVIndexSize(int(n))
	return nil
}

// AppendText appends the text form of p, without a base: ParseProfile makes
// the same profile of it. What no word names is left out.
func (p *Profile) AppendText(b []byte) ([]byte, error) {
	line := func(key string, words []string) {
		if len(words) != 0 {
			b = append(b, key+" = "+strings.Join(words, ", ")+"\n"...)
		}
	}
	var algs, curves, banks, commands []string
	for _, w := range algWords {
		if p.HasAlg(w.value) {
			algs = append(algs, w.name)
		}
	}
	for _, w := range curveWords {
		if p.HasCurve(w.value) {
			curves = append(curves, w.name)
		}
	}
	for _, a := range p.PCRBanks() {
		banks = append(banks, algName(a))
	}
	for cc := TPMCCFirst; cc <= TPMCCLast; cc++ {
		if p.HasCommand(cc) {
			commands = append(commands, cc.String()[len(commandPrefix):])
		}
	}
	line("algorithms", algs)
	line("curves", curves)
	numbers := func(key string, sizes []uint16, has func(int) bool) {
		var words []string
		for _, n := range sizes {
			if has(int(n)) {
				words = append(words, strconv.Itoa(int(n)))
			}
		}
		line(key, words)
	}
	numbers("rsa", rsaSizes[:], p.RSABits)
	for _, a := range [...]TPMAlgID{TPMAlgAES, TPMAlgCamellia, TPMAlgTDES, TPMAlgSM4} {
		numbers(algName(a), symSizes[:], func(n int) bool { return p.SymBits(a, n) })
	}
	sets := func(a TPMAlgID, words []word[uint16]) {
		var has []string
		for _, w := range words {
			if p.MLSet(a, w.value) {
				has = append(has, w.name)
			}
		}
		line(algName(a), has)
	}
	sets(TPMAlgMLKEM, mlkemWords[:])
	sets(TPMAlgMLDSA, mldsaWords[:])
	line("banks", banks)
	line("commands", commands)
	if p.nvIndex != 0 {
		line("nv-index", []string{strconv.Itoa(int(p.nvIndex))})
	}
	return b, nil
}
