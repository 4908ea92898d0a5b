"""The journal: the ordered, bounded, on-disk record of what is to be sent.

    JOURNAL/lock                                   held by the one process that writes
    JOURNAL/resume.key                             what proves a successor; see `resume`
    JOURNAL/AGENT/position-SEQUENCE-DIGEST         an empty file; its name is the next sequence and its `previous`
    JOURNAL/AGENT/enrolment                        its signed enrolment, for a successor to hand in if it died unheard
    JOURNAL/AGENT/SEQUENCE.segment                 records not yet sealed; the highest one is being written
    JOURNAL/AGENT/SEQUENCE.from-AGENT.segment      the same, taken over from a dead predecessor
    JOURNAL/AGENT/SEQUENCE.batch                   sealed, not yet acknowledged
    JOURNAL/AGENT/SEQUENCE.parked                  refused for good by the collector; kept for a person to look at

A segment becomes the batch of the same sequence number, so a crash between the two steps is seen at the next
start: a segment below the position is sealed already. Every change is one write, one rename, one truncation or
one unlink, so the directory can be read after kill -9 at any moment. Nothing is fsynced: the journal is a defence
against the death of processes, not of the machine, and a task's disk dies with its machine.

On a full disk the position still moves (a rename of an empty file needs no block), shedding still works (it
truncates), and new records wait in bounded memory, counted when they no longer fit.
"""

from outrider_sidecar.journal.journal import Journal, JournalStats
from outrider_sidecar.journal.resume import load_resume_key
from outrider_sidecar.journal.sealed import ShelvedBatch

__all__ = ["Journal", "JournalStats", "ShelvedBatch", "load_resume_key"]
