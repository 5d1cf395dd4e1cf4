package simulation

import (
	"bytes"
	"errors"
)

// openKeys is a reconcile.Keys without secrets, in which one seed gives one history: the order of people in the ledger follows from
// their hashes, and those from the subject key.
type openKeys struct{}

var subjectKey = []byte("the subject key of every simulation")

func (openKeys) SubjectKey() []byte { return subjectKey }

func (openKeys) Seal(plain []byte, context string) ([]byte, error) {
	return append([]byte(context+"\x00"), plain...), nil
}

func (openKeys) Open(sealed []byte, context string) ([]byte, error) {
	plain, ok := bytes.CutPrefix(sealed, []byte(context+"\x00"))
	if !ok {
		return nil, errors.New("sealed for another row")
	}
	return plain, nil
}
