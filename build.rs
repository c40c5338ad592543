//! Makes a build notice when the web pages were built after it: cargo looks at a folder only if it is
//! there, so an empty one is made.

fn main() {
    let pages = "playground/dist";
    if let Err(error) = std::fs::create_dir_all(pages) {
        println!("cargo::warning={pages} can't be made: {error}");
    }
    println!("cargo::rerun-if-changed={pages}");
}
