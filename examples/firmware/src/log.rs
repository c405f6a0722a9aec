//! `defmt`: its frames leave through the console of the semihosting.

use defmt_semihosting as _;

defmt::timestamp!("{=u64:ms}", embassy_time::Instant::now().as_millis());

/// Prints a line, as a frame that is told whatever `DEFMT_LOG` says.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => {
        ::defmt::println!("{}", ::defmt::Display2Format(&::core::format_args!($($text)*)))
    };
}
