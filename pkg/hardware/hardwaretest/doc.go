// Package hardwaretest gives tests machines that remember who commanded them.
//
// A [BMC] stands for a fleet of machines. It records every command with its
// time and the [hardware.Actor] that sent it, and [BMC.Overlaps] tells where
// two holders of a lock got in each other's way: at the same time, or one late,
// after a younger one. That is the question all tests of a lock come down to,
// and here the machine itself answers it.
//
// Commands take time in three parts: the way to the machine, the work, and the
// way back. A caller that gives up, gives up only waiting: a command that has
// been sent is carried out. So a lost answer is not a lost request.
//
// Time is the time package's, so in a bubble of testing/synctest it costs
// nothing.
//
// [TestPower] is the contract that every power interface has to pass, the
// fake one and those of real machines.
package hardwaretest
