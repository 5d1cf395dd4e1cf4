package list

import (
	"time"
)

// PhoneQuery asks for one page of phone numbers.
type PhoneQuery struct {
	// List is the phone list; of no use to ReadOptOuts.
	List int
	// OptedOut asks for those who are opted out of the sender code instead of all others; of no use to ReadOptOuts.
	OptedOut bool
	// From and To bound subscribeDate or optOutDate, both inclusive, in wall time carried as UTC (see SenderCode.Wall); zero leaves an end
	// open.
	From, To time.Time
	Cursor   string // Start, or PhonePage.Next
	Count    int    // 1 to MaxCount
}

// PhonePage is one page, ordered by the date that was asked for.
type PhonePage struct {
	Phones []Phone
	// Next is the cursor of the next page, empty at the end.
	Next string
}

// ReadContacts is GET Contact of a whole list: one page. A refusal is an *Error, here and below.
func (s *SenderCode) ReadContacts(query PhoneQuery) (PhonePage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refusal := s.usable(query.List, false); refusal != nil {
		return PhonePage{}, refusal
	}
	state := Subscribed
	if query.OptedOut {
		state = Unsubscribed
	}
	return s.read(query, position{List: query.List, State: state}, func(p *phone) bool {
		return p.optedOut == query.OptedOut && (!s.config.OnlySubscribed || p.lists[query.List].state == Subscribed)
	})
}

// ReadOptOuts is GET OptOut: one page of who is opted out of the sender code, or with UnpagedOptOuts all of them.
func (s *SenderCode) ReadOptOuts(query PhoneQuery) (PhonePage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refusal := s.enabled(); refusal != nil {
		return PhonePage{}, refusal
	}
	if s.config.UnpagedOptOuts {
		query.Cursor, query.Count = Start, MaxCount+len(s.phones)
	}
	query.List = 0
	return s.read(query, position{}, func(*phone) bool { return true })
}

// read collects a page of the index that here names.
func (s *SenderCode) read(query PhoneQuery, here position, wanted func(*phone) bool) (PhonePage, error) {
	index := s.byOptOut
	if here.List != 0 {
		index = s.bySubscribed[here.List]
	}
	if query.Count < 1 || query.Count > MaxCount && !s.config.UnpagedOptOuts {
		return PhonePage{}, invalid("count")
	}
	here.Filter = Query{From: query.From, To: query.To}.filter()
	from := phonePlace{wall: -1 << 62}
	if query.Cursor != Start {
		after, ok := parsePosition(query.Cursor)
		if !ok || after.List != here.List || after.State != here.State || string(after.Filter) != string(here.Filter) {
			return PhonePage{}, invalid("cursor")
		}
		from = phonePlace{wall: after.Wall, sequence: after.Sequence + 1}
	}
	if !query.From.IsZero() && query.From.UnixMilli() > from.wall {
		// Listrak keeps milliseconds: a bound between two of them excludes the earlier one.
		from = phonePlace{wall: query.From.Add(time.Millisecond - 1).UnixMilli()}
	}
	page := PhonePage{Phones: make([]Phone, 0, min(query.Count, index.Len()))}
	var last phonePlace
	index.Ascend(from, func(at phonePlace) bool {
		if !query.To.IsZero() && time.UnixMilli(at.wall).After(query.To) {
			return false
		}
		if !wanted(at.phone) {
			return true
		}
		if len(page.Phones) == query.Count {
			here.Wall, here.Sequence = last.wall, last.sequence
			page.Next = here.String()
			return false
		}
		page.Phones = append(page.Phones, at.phone.view())
		last = at
		return true
	})
	return page, nil
}

// ReadPhone is GET Contact of one phone number, in any spelling.
func (s *SenderCode) ReadPhone(number string) (Phone, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refusal := s.enabled(); refusal != nil {
		return Phone{}, refusal
	}
	if _, ok := e164(number); !ok {
		return Phone{}, refuse(CodeInvalidPhone, "The phone number is in an invalid format.")
	}
	p := s.find(number)
	if p == nil {
		return Phone{}, noResource("senderCodeId and phoneNumber")
	}
	return p.view(), nil
}

// PostContact makes a phone number known and subscribes it to the list. Dates are Listrak's own: a caller cannot pass one. Taken or not,
// the call is in Writes, here and below.
func (s *SenderCode) PostContact(list int, number string) error {
	return s.write("POST Contact", list, number, Subscribed, func(canonical string, write *PhoneWrite) *Error {
		if s.phones[canonical] != nil {
			return refuse(CodePhoneFound, "The phone number already exists on the sender code.")
		}
		if refusal := s.phoneRefusal(canonical); refusal != nil {
			return refusal
		}
		into, _ := s.config.list(list)
		s.subscribe(s.know(canonical), into, s.date(time.Time{}), true)
		write.Effective, write.Redated = true, true
		return nil
	})
}

// PostSubscription subscribes a phone number that the sender code knows to the list.
func (s *SenderCode) PostSubscription(list int, number string) error {
	return s.write("POST Subscription", list, number, Subscribed, func(canonical string, write *PhoneWrite) *Error {
		p := s.phones[canonical]
		if p == nil {
			return s.noPhone()
		}
		if refusal := s.phoneRefusal(canonical); refusal != nil {
			return refusal
		}
		now := s.date(time.Time{})
		held := p.lists[list]
		if held != nil && held.state == Pending {
			return refuse(CodePhonePending, "The phone number is already pending double opt-in.")
		}
		if p.optedOut {
			switch s.config.OptedOut {
			case RefusesBanned:
				return refuse(CodePhoneBanned, "The phone number is banned from the sender code.")
			case RefusesSuspended:
				return refuse(CodePhoneSuspended, "The phone number is suspended.")
			case OptsIn:
				s.optIn(p, now)
				write.Effective, write.Redated = true, true
			case StaysOut:
			}
		}
		same := held != nil && held.state == Subscribed
		switch {
		case same && write.Effective: // Opting in was all.
			return nil
		case same && s.config.SameState == AnswersError:
			return refuse(CodePhoneSubscribed, "The phone number is already subscribed to the list.")
		case same && s.config.SameState == KeepsDates:
			return nil
		}
		into, _ := s.config.list(list)
		s.subscribe(p, into, now, !same)
		write.Effective, write.Redated = write.Effective || !same, true
		return nil
	})
}

// DeleteSubscription takes a phone number off the list.
func (s *SenderCode) DeleteSubscription(list int, number string) error {
	return s.write("DELETE Subscription", list, number, Unsubscribed, func(canonical string, write *PhoneWrite) *Error {
		p := s.phones[canonical]
		if p == nil {
			return s.noPhone()
		}
		held := p.lists[list]
		same := held != nil && held.state == Unsubscribed
		switch {
		case held == nil, held.state == Pending, same && s.config.SameState == AnswersError:
			return refuse(CodePhoneNotSubscribed, "The phone number is not subscribed to the list.")
		case same && s.config.SameState == KeepsDates:
			return nil
		}
		s.leave(p, held, s.date(time.Time{}))
		write.Effective, write.Redated = !same, true
		return nil
	})
}

// PutContact updates a phone number: with optedOut it is opted out of the sender code. It cannot opt anybody in again (official document,
// Update Contact), which is taken and does nothing.
func (s *SenderCode) PutContact(number string, optedOut bool) error {
	var asked State
	if optedOut {
		asked = Unsubscribed
	}
	return s.write("PUT Contact", 0, number, asked, func(canonical string, write *PhoneWrite) *Error {
		p := s.phones[canonical]
		switch {
		case p == nil:
			return s.noPhone()
		case s.refusals[canonical] == PhoneBanned:
			return s.phoneRefusal(canonical)
		case !optedOut, p.optedOut && s.config.SameState != MovesDates:
			return nil
		}
		write.Effective, write.Redated = !p.optedOut, true
		s.optOut(p, s.date(time.Time{}), OptOutAPI)
		return nil
	})
}

// write does what a call asks for and notes it.
func (s *SenderCode) write(operation string, list int, number string, asked State, do func(canonical string, write *PhoneWrite) *Error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	write := PhoneWrite{At: s.config.Now(), Operation: operation, Phone: number, List: list, State: asked}
	canonical, ok := e164(number)
	if ok {
		write.Phone = canonical
	}
	refusal := s.enabled()
	if list != 0 || operation != "PUT Contact" {
		refusal = s.usable(list, true)
	}
	switch {
	case refusal != nil:
	case !ok:
		refusal = refuse(CodeInvalidPhone, "The phone number is in an invalid format.")
	default:
		refusal = do(canonical, &write)
	}
	if refusal == nil {
		s.writes = append(s.writes, write)
		return nil
	}
	write.Code = refusal.Code
	s.writes = append(s.writes, write)
	return refusal
}

func (s *SenderCode) enabled() *Error {
	if s.config.Disabled {
		return refuse(CodeSenderCodeDisabled, "The sender code is disabled.")
	}
	return nil
}

// usable says why calls about the list are refused, or nil.
func (s *SenderCode) usable(list int, write bool) *Error {
	if refusal := s.enabled(); refusal != nil {
		return refusal
	}
	found, known := s.config.list(list)
	switch {
	case !known && (s.config.Missing404 || !write):
		return noResource("senderCodeId and phoneListId")
	case !known:
		return refuse(CodeInvalidListID, "The list does not exist on the sender code.")
	case found.Inactive:
		return refuse(CodeListInactive, "The list is inactive.")
	}
	return nil
}

func (s *SenderCode) noPhone() *Error {
	if s.config.Missing404 {
		return noResource("senderCodeId, phoneNumber, and phoneListId")
	}
	return refuse(CodePhoneNotFound, "The phone number does not exist on the sender code.")
}

// phoneRefusal says why Listrak would not subscribe the phone number, or nil.
func (s *SenderCode) phoneRefusal(canonical string) *Error {
	switch s.refusals[canonical] {
	case PhoneBanned:
		return refuse(CodePhoneBanned, "The phone number is banned from the sender code.")
	case PhoneSuspended:
		return refuse(CodePhoneSuspended, "The phone number is suspended.")
	case PhoneInvalid:
		return refuse(CodeInvalidPhone, "The phone number is in an invalid format.")
	default:
		return nil
	}
}
