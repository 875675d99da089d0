//! Tests of the whole schedule on small graphs: what is copied, what is shared, and what the steps compute.
