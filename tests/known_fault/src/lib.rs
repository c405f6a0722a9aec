//! The attribute `#[known_fault("F14")]`.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// Makes a test of a function without arguments that states what is right about row `F14` of
/// `docs/evidence/field-reports.md`, where the code is known to be wrong.
///
/// The test passes only while the function fails at a case of `servicebus_tests::fault::Judge` with the known wrong
/// result. It is red as soon as the function passes, and red for every other failure. When the fault is mended, the
/// attribute is replaced by `#[test]`.
#[proc_macro_attribute]
pub fn known_fault(row: TokenStream, function: TokenStream) -> TokenStream {
    let row = match row.into_iter().collect::<Vec<_>>().as_slice() {
        [TokenTree::Literal(row)] => row.clone(),
        _ => return refuse("write the row as #[known_fault(\"F14\")]"),
    };
    let tokens: Vec<TokenTree> = function.into_iter().collect();
    let name = tokens.iter().position(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"));
    let Some(TokenTree::Ident(name)) = name.and_then(|at| tokens.get(at + 1)).cloned() else {
        return refuse("#[known_fault] belongs on a function");
    };
    // The function as it was written becomes `body` inside of the test.
    let attributes = tokens.iter().take_while(|token| !matches!(token, TokenTree::Ident(_))).cloned();
    let mut body: Vec<TokenTree> =
        tokens.iter().skip_while(|token| !matches!(token, TokenTree::Ident(_))).cloned().collect();
    for token in &mut body {
        if matches!(token, TokenTree::Ident(word) if word.to_string() == name.to_string()) {
            *token = TokenTree::Ident(Ident::new("body", name.span()));
            break;
        }
    }
    let mut call: TokenStream = "::servicebus_tests::fault::known".parse().expect("a path");
    let mut arguments = TokenStream::from(TokenTree::Literal(row));
    arguments.extend([TokenTree::Punct(Punct::new(',', Spacing::Alone))]);
    arguments.extend("body".parse::<TokenStream>());
    call.extend([TokenTree::Group(Group::new(Delimiter::Parenthesis, arguments))]);
    call.extend([TokenTree::Punct(Punct::new(';', Spacing::Alone))]);
    let mut inside: TokenStream = body.into_iter().collect();
    inside.extend(call);

    let mut test: TokenStream = "#[test]".parse().expect("an attribute");
    test.extend(attributes);
    test.extend([TokenTree::Ident(Ident::new("fn", Span::call_site())), TokenTree::Ident(name)]);
    test.extend([TokenTree::Group(Group::new(Delimiter::Parenthesis, TokenStream::new()))]);
    test.extend([TokenTree::Group(Group::new(Delimiter::Brace, inside))]);
    test
}

fn refuse(text: &str) -> TokenStream {
    let mut error: TokenStream = "::core::compile_error!".parse().expect("a path");
    let text = TokenStream::from(TokenTree::Literal(Literal::string(text)));
    error.extend([TokenTree::Group(Group::new(Delimiter::Parenthesis, text))]);
    error.extend([TokenTree::Punct(Punct::new(';', Spacing::Alone))]);
    error
}
