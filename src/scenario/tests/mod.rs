//! Random tests of the whole core: whatever playbook, whatever history, the invariants hold and the books balance.
//!
//! | file | what |
//! |---|---|
//! | `dice` | what chance does |
//! | `books` | what must hold after every step, read from the journals |
//! | `periods` | when periods end, counted naively |
//! | `promises` | what an authorise promises where everybody is in touch |
//! | `play` | steps carried out one after the other, and what was answered |
//! | `steps` | a step by chance |
//! | `playbooks` | a playbook by chance, of every choice |
//! | `instants` | the instants at which something ends or begins |
//! | `fixed_playbook` | one playbook with many plans, in hours full of faults |
//! | `long_histories` | any playbook, over years |
//! | `commute` | operations whose order must not matter |

mod books;
mod commute;
mod dice;
mod fixed_playbook;
mod instants;
mod long_histories;
mod periods;
mod play;
mod playbooks;
mod promises;
mod steps;
