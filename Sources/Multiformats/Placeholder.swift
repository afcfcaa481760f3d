enum MultiformatsPlaceholder {}
