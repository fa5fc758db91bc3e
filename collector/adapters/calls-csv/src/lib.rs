//! adapter-calls-csv
