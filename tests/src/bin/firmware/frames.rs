//! The frames of a board whose log goes through `defmt`.

use defmt_decoder::{DecodeError, StreamDecoder, Table};
use std::error::Error;
use std::path::Path;

/// What tells a board's frames apart: the texts are in its image.
pub(crate) struct Frames(Table);

impl Frames {
    /// # Errors
    /// An image without texts.
    pub(crate) fn of(image: &Path) -> Result<Self, Box<dyn Error>> {
        let table = Table::parse(&std::fs::read(image)?)?;
        Ok(Self(table.ok_or("the image has no frames of defmt in it")?))
    }

    /// The lines of these bytes: level and text.
    ///
    /// # Errors
    /// Bytes that are no frame.
    pub(crate) fn lines(&self, bytes: &[u8]) -> Result<Vec<String>, Box<dyn Error>> {
        let mut decoder: Box<dyn StreamDecoder + '_> = self.0.new_stream_decoder();
        decoder.received(bytes);
        let mut lines = Vec::new();
        loop {
            match decoder.decode() {
                Ok(frame) => {
                    let level = frame.level().map_or("printed", |level| level.as_str());
                    lines.push(format!("{level}: {}", frame.display_message()));
                }
                Err(DecodeError::UnexpectedEof) => return Ok(lines),
                Err(DecodeError::Malformed) => return Err(format!("no frame behind line {}", lines.len()).into()),
            }
        }
    }
}
