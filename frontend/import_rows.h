// Which function imports which ONNX operator (domain ai.onnx unless the name has a colon), in which
// opset versions; rows of one operator stand together. Sorted by family:
// import_{core,eltwise,move,index,reduce,window,contract,norm,recurrent,train}.c
//
//   operator                from  to      import_*

// ---- core ----
ROW( "Constant",              1, NEWEST, constant           )
ROW( "ConstantOfShape",       9, NEWEST, constant_of_shape  )
ROW( "Identity",              1, NEWEST, identity           )
ROW( "Shape",                 1, NEWEST, shape              )
ROW( "Size",                  1, NEWEST, size               )
#undef ROW
