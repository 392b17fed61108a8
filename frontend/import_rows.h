// Which function imports which ONNX operator (domain ai.onnx unless the name has a colon), in which
// opset versions. Sorted by family: import_{core,eltwise,move,index,reduce,window,contract,norm,recurrent,train}.c
//
//   operator                from  to    import_*
#undef ROW
