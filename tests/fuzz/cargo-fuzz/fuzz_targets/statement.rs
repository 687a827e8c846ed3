#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| verbund_fuzz::run("statement", data));
