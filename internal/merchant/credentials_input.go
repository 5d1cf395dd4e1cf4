package merchant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxInputBytes bounds what is read from standard input: ten secrets and their names, many times over.
const maxInputBytes = 64 << 10

// ReadCredentials reads all secrets of a merchant from the environment and from standard input, and checks that they are complete.
// See ReadSomeCredentials for the forms.
func ReadCredentials(env func(string) string, stdin io.Reader) (Credentials, error) {
	c, err := ReadSomeCredentials(env, stdin)
	if err != nil {
		return Credentials{}, err
	}
	if err := c.Normalize(); err != nil {
		return Credentials{}, err
	}
	return c, nil
}

// ReadSomeCredentials reads the secrets that are given, for changing a few (Store.Update merges them). env is os.Getenv; stdin is
// standard input when it is piped, and nil when it is a terminal or not to be read. Standard input holds either one JSON object
// or lines of KEY=VALUE (comments with #, quotes and "export " are understood); its keys are the names of the variables, with or
// without CONCORD_, in any case. What stands there wins over the environment. An error never shows anything of the input.
func ReadSomeCredentials(env func(string) string, stdin io.Reader) (Credentials, error) {
	var c Credentials
	for _, s := range c.slots() {
		*s.value = strings.TrimSpace(env(s.env))
	}
	if stdin == nil {
		return c, nil
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxInputBytes+1))
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials from standard input: %w", err)
	}
	if len(text) > maxInputBytes {
		return Credentials{}, &Invalid{"standard input", fmt.Sprintf("must hold %d bytes of credentials at most", maxInputBytes)}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // Windows editors begin files with a byte order mark
	var given Credentials
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		err = given.readJSON(text)
	} else {
		err = given.readLines(string(text))
	}
	if err != nil {
		return Credentials{}, err
	}
	return c.Merge(given), nil
}

// set stores one value under the name that the input gave it.
func (c *Credentials) set(key, value string) error {
	key = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(key)), "CONCORD_")
	for _, s := range c.slots() {
		if strings.TrimPrefix(s.env, "CONCORD_") != key {
			continue
		}
		if *s.value != "" {
			return errors.New("names " + s.env + " a second time")
		}
		*s.value = strings.TrimSpace(value)
		return nil
	}
	// The key is not repeated: in a line without a name it is the secret itself, up to a = in it.
	names := make([]string, 0, len(c.slots()))
	for _, s := range c.slots() {
		names = append(names, s.env)
	}
	return errors.New("has a key that is none of " + strings.Join(names, ", "))
}

// readJSON goes by tokens, because decoding into a map would silently take the last of two equal keys.
func (c *Credentials) readJSON(text []byte) error {
	malformed := &Invalid{"standard input", "begins with { but is not one JSON object with strings in it"}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return malformed
	}
	for decoder.More() {
		key, err := decoder.Token()
		name, isString := key.(string)
		if err != nil || !isString {
			return malformed
		}
		value, err := decoder.Token()
		secret, isString := value.(string)
		if err != nil || !isString {
			return malformed
		}
		if err := c.set(name, secret); err != nil {
			return &Invalid{"standard input", err.Error()}
		}
	}
	if _, err := decoder.Token(); err != nil {
		return malformed
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return malformed
	}
	return nil
}

func (c *Credentials) readLines(text string) error {
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		setting := fmt.Sprintf("line %d of standard input", number)
		key, value, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "export ")), "=")
		if !found {
			return &Invalid{setting, "is not KEY=VALUE, such as " + EnvListrakClientID + "=…"}
		}
		if err := c.set(key, unquote(strings.TrimSpace(value))); err != nil {
			return &Invalid{setting, err.Error()}
		}
	}
	return nil
}

func unquote(value string) string {
	for _, quote := range []string{`"`, `'`} {
		if len(value) >= 2 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			return value[1 : len(value)-1]
		}
	}
	return value
}
