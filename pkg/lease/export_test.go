package lease

// SetFlights sets how many requests a new session has under way before its operations travel in company.
func SetFlights(n int) (undo func()) {
	old := flights
	flights = n
	return func() { flights = old }
}
