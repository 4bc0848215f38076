package house

import (
	"go/ast"
	"strings"
	"testing"
)

// TestOrdersAreWhole: an order that has a number has a row in the manager's table
// with who may sign it, what reads its arguments and what runs it, a client
// sends it, and a program calls that client.
func TestOrdersAreWhole(t *testing.T) {
	t.Parallel()
	rows, sent, called := map[string][]string{}, map[string]bool{}, map[string]bool{}
	for _, f := range goFiles(t) {
		if f.Test() {
			continue
		}
		if strings.HasPrefix(f.Name, "tools/") || strings.HasPrefix(f.Name, "stubdom/") {
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					called[s.Sel.Name] = true
				}
				return true
			})
		}
		switch {
		case f.Folder() == "vtpmmgr":
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if kv, ok := n.(*ast.KeyValueExpr); ok {
					if key, ok := kv.Key.(*ast.SelectorExpr); ok {
						rows[key.Sel.Name] = append(rows[key.Sel.Name], fieldNames(kv.Value)...)
					}
				}
				return true
			})
		case f.Folder() == "vtpmmgr/proto":
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if c, ok := n.(*ast.CallExpr); ok {
					for _, a := range c.Args {
						if id, ok := a.(*ast.Ident); ok {
							sent[id.Name] = true
						}
					}
				}
				return true
			})
		}
	}
	orders := 0
	for name, value := range typedConstants(t, "vtpmmgr/proto/", "Ordinal") {
		if !sent[name] {
			t.Errorf("no function of vtpmmgr/proto sends %s", name)
		}
		if value < 0x53000200 { // a request that needs no signature
			continue
		}
		orders++
		if !called[name] {
			t.Errorf("no program gives the order %s", name)
		}
		for _, want := range []string{"signers", "parse", "run"} {
			if !strings.Contains(strings.Join(rows[name], " "), want) {
				t.Errorf("the table of orders in package vtpmmgr has no %s for %s", want, name)
			}
		}
	}
	if orders < 20 {
		t.Errorf("found %d orders", orders)
	}
}

// fieldNames returns the names of the fields that a composite literal sets to
// something else than nil.
func fieldNames(e ast.Expr) (names []string) {
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	for _, elt := range lit.Elts {
		if kv, ok := elt.(*ast.KeyValueExpr); ok && !isIdent(kv.Value, "nil") {
			if id, ok := kv.Key.(*ast.Ident); ok {
				names = append(names, id.Name)
			}
		}
	}
	return names
}
